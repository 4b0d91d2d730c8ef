#include "transport/http/server/http_wire.h"

#include <boost/beast/core/error.hpp>
#include <boost/beast/http.hpp>
#include <iterator>
#include <sstream>
#include <utility>

#include "transport/http/message/error_response.h"

namespace dqueue::transport {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using beast::error_code;

// Headers of every answer. Pages load only files from the node itself, and run no inline scripts.
constexpr std::pair<const char*, const char*> kSecurityHeaders[] = {
    {"X-Content-Type-Options", "nosniff"},
    {"Content-Security-Policy",
     "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"},
    {"X-Frame-Options", "DENY"},
    {"Referrer-Policy", "no-referrer"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    {"Cross-Origin-Opener-Policy", "same-origin"},
};

}  // namespace

std::string BeastText(beast::string_view text) { return std::string(text.data(), text.size()); }

std::optional<HttpResponse> ProblemOfReading(error_code error, const HttpLimits& limits) {
  if (error == http::error::header_limit) {
    return HttpProblem(
        431, "HEADER_TOO_LARGE",
        "the header is larger than " + std::to_string(limits.header_bytes) + " bytes");
  }
  if (error == http::error::bad_version) {
    return HttpProblem(505, "BAD_VERSION", "only HTTP/1.0 and HTTP/1.1 are spoken here");
  }
  if (error == http::error::end_of_stream || error == http::error::partial_message ||
      error == beast::error::timeout ||
      error.category() != error_code(http::error::end_of_stream).category()) {
    return std::nullopt;
  }
  return HttpProblem(400, "BAD_REQUEST", "not an HTTP request: " + error.message());
}

HttpResponse BodiesTooLarge(size_t limit) {
  HttpResponse response = HttpProblem(
      503, "OVERLOADED",
      "the bodies of all requests here are larger than " + std::to_string(limit) + " bytes");
  response.headers.emplace_back("Retry-After", "1");
  return response;
}

HttpResponse BodyTooLarge(size_t limit) {
  return HttpProblem(413, "REQUEST_TOO_LARGE",
                     "the body is larger than " + std::to_string(limit) + " bytes");
}

std::optional<HttpResponse> ProblemOfHeader(const http::fields& fields, unsigned version,
                                            const HttpLimits& limits) {
  const auto bad = [](const char* message) { return HttpProblem(400, "BAD_REQUEST", message); };
  if (static_cast<size_t>(std::distance(fields.begin(), fields.end())) > limits.header_fields) {
    return HttpProblem(
        431, "HEADER_TOO_LARGE",
        "the header has more than " + std::to_string(limits.header_fields) + " fields");
  }
  const size_t hosts = fields.count(http::field::host);
  if (hosts > 1 || (hosts == 0 && version >= 11)) return bad("there must be one Host field");
  if (fields.count(http::field::content_length) > 1) return bad("Content-Length comes twice");
  const std::string length = BeastText(fields[http::field::content_length]);
  if (length.find_first_not_of("0123456789") != std::string::npos) {
    return bad("Content-Length must be a number");
  }
  const size_t encodings = fields.count(http::field::transfer_encoding);
  if (encodings > 1 ||
      (encodings == 1 && !beast::iequals(fields[http::field::transfer_encoding], "chunked"))) {
    return bad("Transfer-Encoding must be chunked");
  }
  if (encodings == 1 && version < 11) return bad("HTTP/1.0 has no Transfer-Encoding");
  const auto expect = fields[http::field::expect];
  if (!expect.empty() && !beast::iequals(expect, "100-continue")) {
    return HttpProblem(417, "EXPECTATION_FAILED", "Expect can only be 100-continue");
  }
  return std::nullopt;
}

BeastResponse ToBeast(HttpResponse response, unsigned version, bool keep_alive) {
  BeastResponse message;
  message.version(version);
  message.result(static_cast<unsigned>(response.status));
  message.set(http::field::server, "dqueue");
  message.set(http::field::cache_control, "no-store");
  for (const auto& [name, value] : kSecurityHeaders) message.set(name, value);
  for (const auto& [name, value] : response.headers) message.set(name, value);
  if (!response.content_type.empty()) {
    message.set(http::field::content_type, response.content_type);
  }
  message.body() = std::move(response.body);
  message.keep_alive(keep_alive);
  // 204 and 304 have no length, not even 0.
  const http::status status = message.result();
  if (status != http::status::no_content && status != http::status::not_modified) {
    message.prepare_payload();
  }
  return message;
}

std::string StreamHead(HttpResponse response, unsigned version, bool keep_alive) {
  BeastResponse message = ToBeast(std::move(response), version, keep_alive);
  message.erase(http::field::content_length);
  if (version >= 11) message.chunked(true);
  std::ostringstream bytes;
  bytes << message.base();
  return bytes.str();
}

std::string ChunkLength(size_t bytes) {
  std::ostringstream line;
  line << std::hex << bytes << "\r\n";
  return line.str();
}

}  // namespace dqueue::transport
