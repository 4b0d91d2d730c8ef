// Reads the members of a request's JSON body. Keeps the first problem, so a handler reads all its
// fields and calls Problem() once at the end.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include "transport/http/message/http_message.h"
#include "transport/http/message/json_text.h"

namespace dqueue::transport {

// 415 for a body that is not application/json in UTF-8. nullopt: no problem, or no body.
std::optional<HttpResponse> ProblemOfContentType(const HttpRequest& request);

// 400 INVALID_FIELD with field, value and limit. `limit` completes "<field> must be …".
HttpResponse BadField(const std::string& field, const std::string& value, const std::string& limit);

class BodyFields {
 public:
  // An empty body counts as {}. `request` must outlive this object.
  explicit BodyFields(const HttpRequest& request);

  // nullopt: absent, null, or invalid.
  std::optional<std::string> Text(const std::string& name);
  std::optional<int64_t> Integer(const std::string& name, int64_t min, int64_t max);
  // The characters of a string, or the bytes of an object or array.
  std::optional<std::string> TextOrJson(const std::string& name);
  // Reports a problem that is not about the type.
  void Refuse(const std::string& name, const std::string& value, const std::string& limit);

  // The first problem. A member that was never read is a problem, too.
  std::optional<HttpResponse> Problem() const;

 private:
  std::optional<std::string_view> Find(const std::string& name);

  JsonMembers members_;
  std::set<std::string> known_;
  std::optional<HttpResponse> problem_;
};

}  // namespace dqueue::transport
