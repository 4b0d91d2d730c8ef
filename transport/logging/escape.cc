#include "transport/logging/escape.h"

namespace dqueue::transport {

std::string EscapeText(std::string_view text, size_t max_bytes) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  for (const char raw : text) {
    const auto c = static_cast<unsigned char>(raw);
    const bool plain = c >= 0x20 && c <= 0x7e && c != '"' && c != '\\';
    if (out.size() + (plain ? 1 : 4) > max_bytes) return out + "...";
    if (!plain) {
      out += "\\x";
      out += kHex[c >> 4];
      out += kHex[c & 15];
    } else {
      out += raw;
    }
  }
  return out;
}

}  // namespace dqueue::transport
