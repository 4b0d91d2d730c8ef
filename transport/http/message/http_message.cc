#include "transport/http/message/http_message.h"

#include <algorithm>
#include <cctype>

#include "queue/api/validate.h"

namespace dqueue::transport {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

absl::StatusOr<std::string> Decode(const std::string& text, bool plus_is_space) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_space) {
      out += ' ';
    } else if (text[i] != '%') {
      out += text[i];
    } else {
      const int high = i + 1 < text.size() ? HexDigit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? HexDigit(text[i + 2]) : -1;
      if (high < 0 || low < 0) {
        return absl::InvalidArgumentError("the target has a '%' without two hexadecimal digits");
      }
      const char c = static_cast<char>(high << 4 | low);
      if (c == '\0') return absl::InvalidArgumentError("the target has an escaped NUL");
      out += c;
      i += 2;
    }
  }
  if (!queue::IsUtf8(out)) return absl::InvalidArgumentError("the target is not UTF-8");
  return out;
}

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  size_t begin = 0;
  for (size_t end; (end = text.find(separator, begin)) != std::string::npos; begin = end + 1) {
    parts.push_back(text.substr(begin, end - begin));
  }
  parts.push_back(text.substr(begin));
  return parts;
}

absl::Status ParseQuery(const std::string& text, std::map<std::string, std::string>* query) {
  for (const std::string& part : Split(text, '&')) {
    if (part.empty()) continue;
    const size_t equals = part.find('=');
    const auto name = Decode(part.substr(0, equals), true);
    if (!name.ok()) return name.status();
    const auto value =
        Decode(equals == std::string::npos ? std::string() : part.substr(equals + 1), true);
    if (!value.ok()) return value.status();
    if (!query->emplace(*name, *value).second) {
      return absl::InvalidArgumentError("the query parameter " + queue::ShownValue(*name) +
                                        " comes twice");
    }
  }
  return absl::OkStatus();
}

bool EqualIgnoringCase(const std::string& a, const std::string& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x)) ==
           std::tolower(static_cast<unsigned char>(y));
  });
}

}  // namespace

absl::StatusOr<HttpTarget> ParseTarget(const std::string& target) {
  HttpTarget result;
  if (target == "*") {
    result.asterisk = true;
    return result;
  }
  if (!target.starts_with('/')) {
    return absl::InvalidArgumentError("the target must begin with '/'");
  }
  if (std::any_of(target.begin(), target.end(), [](char c) { return c < 0x21 || c > 0x7e; })) {
    return absl::InvalidArgumentError("the target has a character that must be escaped");
  }
  const size_t question = target.find('?');
  for (const std::string& part : Split(target.substr(1, question - 1), '/')) {
    auto segment = Decode(part, false);
    if (!segment.ok()) return segment.status();
    result.path.push_back(*std::move(segment));
  }
  if (question != std::string::npos) {
    const absl::Status status = ParseQuery(target.substr(question + 1), &result.query);
    if (!status.ok()) return status;
  }
  return result;
}

const std::string& HttpRequest::Header(const std::string& name) const {
  static const std::string kNone;
  for (const auto& [key, value] : headers) {
    if (EqualIgnoringCase(key, name)) return value;
  }
  return kNone;
}

size_t HttpRequest::Count(const std::string& name) const {
  return static_cast<size_t>(
      std::count_if(headers.begin(), headers.end(),
                    [&name](const auto& field) { return EqualIgnoringCase(field.first, name); }));
}

}  // namespace dqueue::transport
