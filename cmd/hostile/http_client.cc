#include "cmd/hostile/http_client.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <cstdlib>
#include <string_view>
#include <utility>

namespace dqueue::cmd {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using std::chrono::milliseconds;

}  // namespace

// Time limits exist for asynchronous operations only, so each operation runs its own context.
class HttpClient::Stream {
 public:
  beast::error_code Connect(const std::string& host, const std::string& port, milliseconds limit) {
    beast::error_code error;
    const auto address = asio::ip::make_address(host, error);
    if (error) return error;
    const asio::ip::tcp::endpoint endpoint(
        address, static_cast<uint16_t>(std::strtoul(port.c_str(), nullptr, 10)));
    tcp_.expires_after(limit);
    tcp_.async_connect(endpoint, [&](beast::error_code e) { error = e; });
    Run();
    return error;
  }
  beast::error_code Write(const http::request<http::string_body>& request, milliseconds limit) {
    beast::error_code error;
    tcp_.expires_after(limit);
    http::async_write(tcp_, request, [&](beast::error_code e, size_t) { error = e; });
    Run();
    return error;
  }
  beast::error_code ReadAnswer(http::response_parser<http::string_body>* parser,
                               milliseconds limit) {
    beast::error_code error;
    tcp_.expires_after(limit);
    http::async_read(tcp_, buffer_, *parser, [&](beast::error_code e, size_t) { error = e; });
    Run();
    return error;
  }
  size_t ReadSome(size_t bytes, milliseconds limit) {
    std::string space(bytes, '\0');
    size_t count = 0;
    tcp_.expires_after(limit);
    tcp_.async_read_some(asio::buffer(space), [&](beast::error_code, size_t n) { count = n; });
    Run();
    return count;
  }

 private:
  void Run() {
    context_.restart();
    context_.run();
  }

  asio::io_context context_;
  beast::tcp_stream tcp_{context_};
  beast::flat_buffer buffer_;
};

HttpClient::HttpClient(const std::string& address, std::string api_key)
    : host_(address.substr(0, address.rfind(':'))),
      port_(address.substr(address.rfind(':') + 1)),
      api_key_(std::move(api_key)) {}

HttpClient::~HttpClient() = default;

void HttpClient::Close() { stream_.reset(); }

bool HttpClient::Send(const HttpRequest& request, milliseconds limit) {
  if (stream_ == nullptr) {
    stream_ = std::make_unique<Stream>();
    if (stream_->Connect(host_, port_, limit)) {
      Close();
      return false;
    }
  }
  http::request<http::string_body> message;
  message.method_string(request.method);
  message.target(request.target);
  message.version(11);
  message.set(http::field::host, host_ + ":" + port_);
  if (!api_key_.empty()) message.set(http::field::authorization, "Bearer " + api_key_);
  if (!request.body.empty()) {
    message.set(http::field::content_type, "application/json");
    message.body() = request.body;
    message.prepare_payload();
  }
  if (stream_->Write(message, limit)) {
    Close();
    return false;
  }
  return true;
}

size_t HttpClient::Read(size_t bytes, milliseconds limit) {
  if (stream_ == nullptr) return 0;
  const size_t count = stream_->ReadSome(bytes, limit);
  if (count == 0) Close();
  return count;
}

HttpAnswer HttpClient::Call(const HttpRequest& request, milliseconds limit) {
  HttpAnswer answer;
  if (!Send(request, limit)) {
    answer.error = "not connected";
    return answer;
  }
  http::response_parser<http::string_body> parser;
  parser.body_limit(boost::none);
  if (const beast::error_code error = stream_->ReadAnswer(&parser, limit)) {
    answer.error = error.message();
    Close();
    return answer;
  }
  http::response<http::string_body> response = parser.release();
  answer.status = response.result_int();
  answer.body = std::move(response.body());
  const auto retry = response[http::field::retry_after];
  answer.retry = std::chrono::seconds(std::strtol(std::string(retry).c_str(), nullptr, 10));
  if (!response.keep_alive()) Close();
  return answer;
}

}  // namespace dqueue::cmd
