#include "cmd/flags/escape.h"

#include <cstdint>
#include <cstdio>

namespace dqueue::cmd {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// Returns the length of the UTF-8 character at the start of text; 0 if there is none.
size_t CharacterLength(std::string_view text) {
  const auto byte = [&](size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  const auto follows = [&](size_t i) { return (byte(i) & 0xC0) == 0x80; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  // RFC 3629: no overlong forms, no surrogates, at most U+10FFFF.
  if (first >= 0xC2 && first <= 0xDF) return follows(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    if (first == 0xE0 && byte(1) < 0xA0) return 0;
    if (first == 0xED && byte(1) > 0x9F) return 0;
    return follows(1) && follows(2) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    if (first == 0xF0 && byte(1) < 0x90) return 0;
    if (first == 0xF4 && byte(1) > 0x8F) return 0;
    return follows(1) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

// `character` is one valid UTF-8 character.
uint32_t CodePoint(std::string_view character) {
  const auto first = static_cast<unsigned char>(character[0]);
  if (character.size() == 1) return first;
  uint32_t code = first & (0x7Fu >> character.size());
  for (const char c : character.substr(1))
    code = code << 6 | (static_cast<unsigned char>(c) & 0x3F);
  return code;
}

// Characters that make a reader see other text than there is: terminal control characters (C0, C1),
// line separators, and controls of the direction of text.
bool Misleads(uint32_t code) {
  return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0x2028 || code == 0x2029 ||
         (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
}

enum class Form { kText, kMessage, kQuoted, kJson };

// Appends the escaped first character of `text`. Returns its number of bytes in `text`.
size_t AppendFirst(std::string_view text, Form form, std::string* out) {
  const auto byte = static_cast<unsigned char>(text[0]);
  const size_t bytes = CharacterLength(text);
  const uint32_t code = bytes == 0 ? byte : CodePoint(text.substr(0, bytes));
  if (form == Form::kJson && (byte == '\n' || byte == '\t' || byte == '\r')) {
    *out += byte == '\n' ? "\\n" : byte == '\t' ? "\\t" : "\\r";
  } else if (bytes == 0 || Misleads(code)) {
    char hex[8];
    std::snprintf(hex, sizeof hex, form == Form::kJson || bytes > 1 ? "\\u%04x" : "\\x%02x", code);
    *out += hex;
  } else {
    const bool quotes = form == Form::kJson || form == Form::kQuoted;
    if ((byte == '\\' && form != Form::kMessage) || (byte == '"' && quotes)) *out += '\\';
    out->append(text.substr(0, bytes));
  }
  return bytes == 0 ? 1 : bytes;
}

std::string Escaped(std::string_view text, Form form) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) text.remove_prefix(AppendFirst(text, form, &out));
  return out;
}

// Appends the escaped text, but not more than `characters_max`. Returns true if all fit.
bool AppendStart(std::string_view text, Form form, size_t characters_max, std::string* out) {
  while (!text.empty()) {
    const size_t before = out->size();
    text.remove_prefix(AppendFirst(text, form, out));
    // One character of any length, or an escape, which is ASCII.
    const bool ascii = static_cast<unsigned char>((*out)[before]) < 0x80;
    const size_t characters = ascii ? out->size() - before : 1;
    if (characters > characters_max) {
      out->resize(before);
      return false;
    }
    characters_max -= characters;
  }
  return true;
}

}  // namespace

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = CharacterLength(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string MadeUtf8(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t length = CharacterLength(text);
    out += length == 0 ? kReplacement : text.substr(0, length);
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out;
}

Utf8Tail TailMadeUtf8(std::string_view text, size_t max) {
  for (int i = 0; i < 3 && !text.empty() && (text[0] & 0xC0) == 0x80; ++i) text.remove_prefix(1);
  size_t made_bytes = MadeUtf8(text).size();
  while (made_bytes > max) {
    const size_t length = CharacterLength(text);
    made_bytes -= length == 0 ? kReplacement.size() : length;
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return {MadeUtf8(text), text.size()};
}

std::string EscapedForText(std::string_view text) { return Escaped(text, Form::kText); }
std::string EscapedMessage(std::string_view message) { return Escaped(message, Form::kMessage); }
std::string EscapedForJson(std::string_view text) { return Escaped(text, Form::kJson); }

std::string Shown(std::string_view text, size_t characters_max) {
  std::string out;
  return AppendStart(text, Form::kText, characters_max, &out) ? out : out + "…";
}

std::string Quoted(std::string_view text) {
  std::string out = "\"";
  const bool whole = AppendStart(text, Form::kQuoted, kShownCharactersMax, &out);
  return out + (whole ? "\"" : "…\"");
}

}  // namespace dqueue::cmd
