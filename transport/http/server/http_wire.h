// Conversion between http_message.h and Beast: checks of a request, and the headers of every
// answer.
#pragma once

#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <optional>
#include <string>

#include "transport/http/server/http_server.h"

namespace dqueue::transport {

using BeastResponse = boost::beast::http::response<boost::beast::http::string_body>;
using BeastSerializer = boost::beast::http::response_serializer<boost::beast::http::string_body>;

std::string BeastText(boost::beast::string_view text);

// The answer to a request that could not be read; nullopt: the client is gone.
std::optional<HttpResponse> ProblemOfReading(boost::beast::error_code error,
                                             const HttpLimits& limits);
// Refuses headers that the parser accepts, but that a proxy may read differently.
std::optional<HttpResponse> ProblemOfHeader(const boost::beast::http::fields& fields,
                                            unsigned version, const HttpLimits& limits);
HttpResponse BodyTooLarge(size_t limit);
HttpResponse BodiesTooLarge(size_t limit);

BeastResponse ToBeast(HttpResponse response, unsigned version, bool keep_alive);

// The head of a stream, as bytes. For HTTP/1.0 the body ends with the connection.
std::string StreamHead(HttpResponse response, unsigned version, bool keep_alive);
// The line before a chunk of `bytes` bytes.
std::string ChunkLength(size_t bytes);

}  // namespace dqueue::transport
