#include "transport/logging/escape.h"

namespace dqueue::transport {

std::string EscapeText(std::string_view text, size_t max_bytes) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  for (const char raw : text.substr(0, max_bytes)) {
    const auto c = static_cast<unsigned char>(raw);
    if (c < 0x20 || c > 0x7e || c == '"' || c == '\\') {
      out += "\\x";
      out += kHex[c >> 4];
      out += kHex[c & 15];
    } else {
      out += raw;
    }
  }
  if (text.size() > max_bytes) out += "...";
  return out;
}

}  // namespace dqueue::transport
