// Names of codes and states, and the text form of fencing tokens.
#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "client/client.h"

namespace dqueue::client {
namespace {

constexpr std::array<std::pair<JobState, const char*>, 7> kStates = {{
    {JobState::kUnknown, "UNKNOWN"},
    {JobState::kScheduled, "SCHEDULED"},
    {JobState::kReady, "READY"},
    {JobState::kLeased, "LEASED"},
    {JobState::kSucceeded, "SUCCEEDED"},
    {JobState::kDead, "DEAD"},
    {JobState::kCancelled, "CANCELLED"},
}};

constexpr size_t kHexDigits = 16;

void AppendHex(uint64_t value, std::string* out) {
  constexpr char kDigits[] = "0123456789abcdef";
  for (int shift = 60; shift >= 0; shift -= 4) *out += kDigits[(value >> shift) & 15];
}

std::optional<uint64_t> ParseHex(std::string_view text) {
  uint64_t value = 0;
  for (const char c : text) {
    uint64_t digit = 0;
    if (c >= '0' && c <= '9') {
      digit = static_cast<uint64_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      digit = static_cast<uint64_t>(c - 'a') + 10;
    } else {
      return std::nullopt;
    }
    value = value << 4 | digit;
  }
  return value;
}

}  // namespace

const char* CodeName(Code code) {
  switch (code) {
    case Code::kOk:
      return "OK";
    case Code::kInvalidArgument:
      return "INVALID_ARGUMENT";
    case Code::kNotFound:
      return "NOT_FOUND";
    case Code::kAlreadyExists:
      return "ALREADY_EXISTS";
    case Code::kFailedPrecondition:
      return "FAILED_PRECONDITION";
    case Code::kResourceExhausted:
      return "RESOURCE_EXHAUSTED";
    case Code::kUnavailable:
      return "UNAVAILABLE";
    case Code::kUnknownOutcome:
      return "UNKNOWN_OUTCOME";
    case Code::kDeadlineExceeded:
      return "DEADLINE_EXCEEDED";
    case Code::kPermissionDenied:
      return "PERMISSION_DENIED";
    case Code::kInternal:
      return "INTERNAL";
  }
  return "?";
}

const char* JobStateName(JobState state) {
  for (const auto& [value, name] : kStates) {
    if (value == state) return name;
  }
  return "?";
}

std::optional<JobState> ParseJobState(const std::string& name) {
  std::string upper = name;
  std::transform(upper.begin(), upper.end(), upper.begin(), [](unsigned char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : static_cast<char>(c);
  });
  for (const auto& [value, known] : kStates) {
    if (value != JobState::kUnknown && upper == known) return value;
  }
  return std::nullopt;
}

std::string FencingToken::ToString() const {
  std::string out;
  out.reserve(3 * kHexDigits + 2);
  AppendHex(term, &out);
  out += '-';
  AppendHex(sequence, &out);
  out += '-';
  AppendHex(job, &out);
  return out;
}

std::optional<FencingToken> FencingToken::Parse(const std::string& text) {
  constexpr size_t kSecond = kHexDigits + 1;
  constexpr size_t kThird = 2 * kSecond;
  if (text.size() != kThird + kHexDigits || text[kSecond - 1] != '-' || text[kThird - 1] != '-') {
    return std::nullopt;
  }
  const std::string_view view(text);
  const auto term = ParseHex(view.substr(0, kHexDigits));
  const auto sequence = ParseHex(view.substr(kSecond, kHexDigits));
  const auto job = ParseHex(view.substr(kThird));
  if (!term || !sequence || !job) return std::nullopt;
  return FencingToken{*term, *sequence, *job};
}

}  // namespace dqueue::client
