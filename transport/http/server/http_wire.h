// Requests and answers on their way between http_message.h and Beast: what is checked of a request
// before it is taken, and the headers that every answer has.
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

// What is wrong with a request that could not be read; nullopt: nobody to tell.
std::optional<HttpResponse> ProblemOfReading(boost::beast::error_code error,
                                             const HttpLimits& limits);
// What a parser lets pass and another server on the way might read otherwise.
std::optional<HttpResponse> ProblemOfHeader(const boost::beast::http::fields& fields,
                                            unsigned version, const HttpLimits& limits);
HttpResponse BodyTooLarge(size_t limit);
HttpResponse BodiesTooLarge(size_t limit);

BeastResponse ToBeast(HttpResponse response, unsigned version, bool keep_alive);

// The head of a stream, as bytes. To HTTP/1.0 the end of the connection is the end of the body.
std::string StreamHead(HttpResponse response, unsigned version, bool keep_alive);
// What stands before a chunk of so many bytes.
std::string ChunkLength(size_t bytes);

}  // namespace dqueue::transport
