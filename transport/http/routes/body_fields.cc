#include "transport/http/routes/body_fields.h"

#include <algorithm>
#include <cctype>

#include "queue/api/validate.h"
#include "transport/calls/rpc_error.h"
#include "transport/http/message/error_response.h"

namespace dqueue::transport {
namespace {

std::string LowerWithoutSpaces(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c != ' ' && c != '\t')
      out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return out;
}

}  // namespace

std::optional<HttpResponse> ProblemOfContentType(const HttpRequest& request) {
  if (request.body.empty()) return std::nullopt;
  const std::string type = LowerWithoutSpaces(request.Header("Content-Type"));
  if (type == "application/json" || type == "application/json;charset=utf-8" ||
      type == "application/json;charset=\"utf-8\"") {
    return std::nullopt;
  }
  return HttpProblem(415, "UNSUPPORTED_MEDIA_TYPE",
                     "a body must be JSON in UTF-8, and say so: Content-Type: application/json");
}

HttpResponse BadField(const std::string& field, const std::string& value,
                      const std::string& limit) {
  return ErrorResponse(ToGrpcStatus(queue::InvalidField(field, value, limit)));
}

HttpResponse MissingBody() {
  return HttpProblem(400, "MISSING_BODY",
                     "the body is empty; it must be a JSON object, at least {}");
}

std::optional<HttpResponse> AddIdempotencyKey(const HttpRequest& request, v1::JobSpec* job) {
  constexpr char kName[] = "Idempotency-Key";
  const size_t count = request.Count(kName);
  if (count == 0) return std::nullopt;
  const std::string& key = request.Header(kName);
  const std::string shown = queue::ShownValue(key);
  if (count > 1) return BadField(kName, std::to_string(count) + " fields", "one field");
  if (key.empty() || !queue::IsUtf8(key)) return BadField(kName, shown, "UTF-8, and not empty");
  if (!job->idempotency_key().empty() && job->idempotency_key() != key) {
    return BadField("idempotency_key", queue::ShownValue(job->idempotency_key()),
                    "the same as the header Idempotency-Key");
  }
  job->set_idempotency_key(key);
  return std::nullopt;
}

BodyFields::BodyFields(const HttpRequest& request, Body body) {
  if (request.body.empty()) {
    if (body == Body::kRequired) problem_ = MissingBody();
    return;
  }
  problem_ = ProblemOfContentType(request);
  if (problem_) return;
  absl::StatusOr<JsonMembers> members = ParseJsonObject(request.body);
  if (members.ok()) {
    members_ = *std::move(members);
  } else {
    problem_ = HttpProblem(400, "INVALID_JSON", std::string(members.status().message()));
  }
}

std::optional<std::string_view> BodyFields::Find(const std::string& name) {
  known_.insert(name);
  const auto it = members_.find(name);
  if (it == members_.end() || it->second == "null") return std::nullopt;
  return it->second;
}

std::optional<std::string> BodyFields::Text(const std::string& name) {
  const auto value = Find(name);
  if (!value) return std::nullopt;
  std::optional<std::string> text = JsonToText(*value);
  if (!text) Refuse(name, queue::ShownValue(*value), "a string");
  return text;
}

std::optional<int64_t> BodyFields::Integer(const std::string& name, int64_t min, int64_t max) {
  const auto value = Find(name);
  if (!value) return std::nullopt;
  const std::optional<int64_t> number = JsonToInteger(*value);
  if (number && *number >= min && *number <= max) return number;
  Refuse(name, queue::ShownValue(*value),
         "an integer, " + std::to_string(min) + " to " + std::to_string(max));
  return std::nullopt;
}

std::optional<std::string> BodyFields::Name(const std::string& name) {
  std::optional<std::string> text = Text(name);
  if (text && text->empty()) Refuse(name, "\"\"", "not empty; leave it out for the default");
  return text;
}

std::optional<std::string> BodyFields::Bytes(const std::string& name) {
  known_.insert(name);
  const auto json = members_.find(name);
  const std::string base64 = name + "_base64";
  const std::optional<std::string> text = Text(base64);
  if (!text) {
    if (json == members_.end()) return std::nullopt;
    return std::string(json->second);
  }
  if (json != members_.end()) {
    Refuse(base64, queue::ShownValue(*text), "absent when there is " + name);
  }
  std::optional<std::string> bytes = FromBase64(*text);
  if (!bytes) Refuse(base64, queue::ShownValue(*text), "a string in base64");
  return bytes;
}

void BodyFields::Refuse(const std::string& name, const std::string& value,
                        const std::string& limit) {
  if (!problem_) problem_ = BadField(name, value, limit);
}

std::optional<HttpResponse> BodyFields::Problem() const {
  if (problem_) return problem_;
  for (const auto& [name, value] : members_) {
    if (known_.contains(name)) continue;
    std::string names;
    for (const std::string& known : known_) names += (names.empty() ? "" : ", ") + known;
    return BadField(queue::ShownValue(name), queue::ShownValue(value), "one of " + names);
  }
  return std::nullopt;
}

}  // namespace dqueue::transport
