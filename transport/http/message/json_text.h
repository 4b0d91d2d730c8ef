// Reads and writes JSON. Strict: RFC 8259, UTF-8, at most kJsonDepthMax deep, no duplicate names in
// an object. Payloads must stay the bytes that came in, so values are slices of the text and no
// tree is built.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"

namespace dqueue::transport {

inline constexpr size_t kJsonDepthMax = 32;
// Limit of members in the outermost object. No request has that many, and each costs time.
inline constexpr size_t kJsonMembersMax = 1000;

// OK, or INVALID_ARGUMENT with "line 1, column 7: …".
absl::Status CheckJson(std::string_view text);

// The members of the object in `text`: decoded names, and values as written.
// INVALID_ARGUMENT: not JSON, no object, or too many members. The views point into `text`.
using JsonMembers = std::map<std::string, std::string_view>;
absl::StatusOr<JsonMembers> ParseJsonObject(std::string_view text);

// The name of a member, from its source with quotes.
std::string JsonName(std::string_view quoted);
// For text that CheckJson() has accepted: the members of an object, with their names as written (in
// quotes) and values as written; the elements of an array.
void ForEachJsonMember(
    std::string_view object,
    absl::FunctionRef<void(std::string_view name, std::string_view value)> member);
void ForEachJsonElement(std::string_view array,
                        absl::FunctionRef<void(std::string_view value)> element);

class JsonObject;
// Adds the bytes of a payload or result. If they are JSON, the member `name` is this JSON, byte for
// byte; else the member NAME_base64 has them. So a reader of either member has the same bytes.
void AddJsonBytes(std::string_view name, std::string_view bytes, JsonObject* object);
// Standard or URL-safe base64, with or without padding. nullopt: it is something else.
std::optional<std::string> FromBase64(std::string_view text);

// Converts a value from JsonMembers. nullopt: another type, or outside the range. 1.0 and "1" are
// not integers.
std::optional<std::string> JsonToText(std::string_view value);
std::optional<int64_t> JsonToInteger(std::string_view value);

// A string with its quotes. `text` must be UTF-8.
std::string JsonQuoted(std::string_view text);

// An array of strings.
template <class Strings>
std::string JsonTexts(const Strings& strings) {
  std::string array = "[";
  for (const std::string& text : strings) array += (array.size() > 1 ? "," : "") + JsonQuoted(text);
  return array + "]";
}

// Writes one object, member by member.
class JsonObject {
 public:
  JsonObject& Text(std::string_view name, std::string_view text);
  JsonObject& Integer(std::string_view name, int64_t value);
  JsonObject& Unsigned(std::string_view name, uint64_t value);
  JsonObject& Null(std::string_view name);
  // `json` is the value as JSON text.
  JsonObject& Raw(std::string_view name, std::string_view json);
  std::string Finish() { return out_ + '}'; }

 private:
  std::string out_ = "{";
};

}  // namespace dqueue::transport
