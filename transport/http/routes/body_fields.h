// Reads the members of a request's JSON body. Keeps the first problem, so a handler reads all its
// fields and calls Problem() once at the end.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include "dqueue/v1/job.pb.h"
#include "transport/http/message/http_message.h"
#include "transport/http/message/json_text.h"

namespace dqueue::transport {

// 415 for a body that is not application/json in UTF-8. nullopt: no problem, or no body.
std::optional<HttpResponse> ProblemOfContentType(const HttpRequest& request);

// 400 MISSING_BODY: a route whose body says what to do.
HttpResponse MissingBody();

// 400 INVALID_FIELD with field, value and limit. `limit` completes "<field> must be …".
HttpResponse BadField(const std::string& field, const std::string& value, const std::string& limit);

// Sets the idempotency key from the header Idempotency-Key. nullopt: done, or there is no header.
// Else 400: it comes twice, it is empty or not UTF-8, or the job has another key from its body.
std::optional<HttpResponse> AddIdempotencyKey(const HttpRequest& request, v1::JobSpec* job);

class BodyFields {
 public:
  enum class Body { kOptional, kRequired };
  // An absent body is a problem, or counts as {}. `request` must outlive this object.
  explicit BodyFields(const HttpRequest& request, Body body = Body::kOptional);

  // nullopt: absent, null, or invalid.
  std::optional<std::string> Text(const std::string& name);
  // As Text(); an empty string is a problem. For names and keys: a caller that sends an empty one
  // meant another.
  std::optional<std::string> Name(const std::string& name);
  std::optional<int64_t> Integer(const std::string& name, int64_t min, int64_t max);
  // The source of any JSON value, null included; or the bytes that NAME_base64 has. nullopt: both
  // are absent, or invalid.
  std::optional<std::string> Bytes(const std::string& name);
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
