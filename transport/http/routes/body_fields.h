// Reads the members of a request's JSON body. The first thing that is wrong is kept; so a handler
// reads all it knows and asks once, with Problem(), at the end.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include "transport/http/message/http_message.h"
#include "transport/http/message/json_text.h"

namespace dqueue::transport {

// 415 for a body that is not application/json in UTF-8; nullopt: fine, or no body.
std::optional<HttpResponse> ProblemOfContentType(const HttpRequest& request);

// 400 INVALID_FIELD with field, value and limit. `limit` completes "<field> must be …".
HttpResponse BadField(const std::string& field, const std::string& value, const std::string& limit);

class BodyFields {
 public:
  // No body is the same as {}. `request` must stay.
  explicit BodyFields(const HttpRequest& request);

  // nullopt: it is not there, is null, or is wrong.
  std::optional<std::string> Text(const std::string& name);
  std::optional<int64_t> Integer(const std::string& name, int64_t min, int64_t max);
  // A string's characters, or an object or array as the bytes that came in.
  std::optional<std::string> TextOrJson(const std::string& name);
  // For what a field means beyond its type.
  void Refuse(const std::string& name, const std::string& value, const std::string& limit);

  // Also names a member that nobody asked for.
  std::optional<HttpResponse> Problem() const;

 private:
  std::optional<std::string_view> Find(const std::string& name);

  JsonMembers members_;
  std::set<std::string> known_;
  std::optional<HttpResponse> problem_;
};

}  // namespace dqueue::transport
