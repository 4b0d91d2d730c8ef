#include "queue/api/error_fingerprint.h"

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "queue/api/hash.h"

namespace dqueue::queue {
namespace {

constexpr uint64_t kFingerprintSeed = 0x6572726f72;
constexpr size_t kNormalizedBytesMax = 512;
constexpr size_t kTextSize = 16;

// Placeholders for numbers, hexadecimal words and UUIDs, and for quoted parts.
constexpr char kNumber = '#';
constexpr char kQuoted = '"';

// Shorter words of these letters may be words of a language ("added", "face2face").
constexpr size_t kHexWordMin = 6;

bool IsAlnum(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)); }
bool IsDigit(char c) { return absl::ascii_isdigit(static_cast<unsigned char>(c)); }
bool IsHex(char c) { return absl::ascii_isxdigit(static_cast<unsigned char>(c)); }

// How long the word of letters and digits is with which `text` begins.
size_t WordLength(std::string_view text) {
  return static_cast<size_t>(std::find_if_not(text.begin(), text.end(), IsAlnum) - text.begin());
}

// 36 or 0.
size_t UuidLength(std::string_view text) {
  constexpr size_t kLength = 36;
  if (text.size() < kLength || (text.size() > kLength && IsAlnum(text[kLength]))) return 0;
  for (size_t i = 0; i < kLength; ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : !IsHex(text[i])) return 0;
  }
  return kLength;
}

// `word` as a whole is a number: of digits, of hexadecimal digits, or "0x…".
bool IsNumber(std::string_view word) {
  if (std::all_of(word.begin(), word.end(), IsDigit)) return true;
  if (word.size() > 2 && word[0] == '0' && (word[1] == 'x' || word[1] == 'X')) {
    return std::all_of(word.begin() + 2, word.end(), IsHex);
  }
  return word.size() >= kHexWordMin && std::all_of(word.begin(), word.end(), IsHex) &&
         std::any_of(word.begin(), word.end(), IsDigit);
}

// The length of the quoted part, quotes included, with which `text` begins; 0: there is none, or it
// does not end in its line.
size_t QuotedLength(std::string_view text) {
  const char quote = text[0];
  if (quote != '"' && quote != '\'' && quote != '`') return 0;
  for (size_t i = 1; i < text.size() && text[i] != '\n'; ++i) {
    if (text[i] != quote) continue;
    // An apostrophe is no quote: 'it's here'.
    const bool within_word = quote == '\'' && i + 1 < text.size() && IsAlnum(text[i + 1]);
    if (!within_word) return i + 1;
  }
  return 0;
}

using Buffer = std::array<char, kNormalizedBytesMax>;

std::string_view Normalize(std::string_view error, Buffer* buffer) {
  size_t size = 0;
  const auto put = [&](char c) {
    if (size < buffer->size()) (*buffer)[size++] = c;
  };
  bool after_word = false;
  while (!error.empty() && size < buffer->size()) {
    size_t used = after_word && error[0] == '\'' ? 0 : QuotedLength(error);
    if (used > 0) {
      put(kQuoted);
    } else if ((used = UuidLength(error)) > 0) {
      put(kNumber);
    } else if (const size_t word = WordLength(error); word > 0) {
      used = word;
      if (IsNumber(error.substr(0, word))) {
        put(kNumber);
      } else {
        for (size_t i = 0; i < word; ++i) {
          const bool in_number = i > 0 && IsDigit(error[i - 1]);
          if (!IsDigit(error[i])) {
            put(error[i]);
          } else if (!in_number) {
            put(kNumber);
          }
        }
      }
    } else {
      used = 1;
      put(error[0]);
    }
    after_word = IsAlnum(error[used - 1]);
    error.remove_prefix(used);
  }
  return {buffer->data(), size};
}

}  // namespace

std::string NormalizedError(std::string_view error) {
  Buffer buffer;
  return std::string(Normalize(error, &buffer));
}

uint64_t ErrorFingerprint(std::string_view error) {
  Buffer buffer;
  return HashBytes(Normalize(error, &buffer), kFingerprintSeed);
}

std::string FingerprintText(uint64_t fingerprint) {
  std::string text;
  for (int shift = 60; shift >= 0; shift -= 4) {
    text.push_back("0123456789abcdef"[fingerprint >> shift & 15]);
  }
  return text;
}

std::optional<uint64_t> ParseFingerprint(std::string_view text) {
  if (text.size() != kTextSize) return std::nullopt;
  uint64_t value = 0;
  for (const char c : text) {
    const size_t digit = std::string_view("0123456789abcdef").find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    value = value << 4 | digit;
  }
  return value;
}

}  // namespace dqueue::queue
