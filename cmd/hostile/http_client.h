// One HTTP/1.1 connection to a node, used by one thread. It connects when it is needed.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

namespace dqueue::cmd {

struct HttpRequest {
  std::string method = "GET";
  std::string target{};  // "/v1/jobs?page_size=1000"
  std::string body{};    // JSON; empty: none
};

struct HttpAnswer {
  int status = 0;  // 0: no answer
  std::string body{};
  std::string error{};           // of status 0
  std::chrono::seconds retry{};  // Retry-After; 0: none
};

class HttpClient {
 public:
  // `address` is "HOST:PORT", `api_key` the key of each request; empty: none.
  HttpClient(const std::string& address, std::string api_key);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // Sends the request and reads the answer. After an error, and after an answer that ends the
  // connection, the next call makes a new one.
  HttpAnswer Call(const HttpRequest& request, std::chrono::milliseconds limit);
  // Sends the request and reads nothing. False: that failed, and the connection is closed.
  bool Send(const HttpRequest& request, std::chrono::milliseconds limit);
  // After Send(): reads up to `bytes` bytes of what the node sends. Returns how many; 0: none came
  // within `limit`, or the connection has ended.
  size_t Read(size_t bytes, std::chrono::milliseconds limit);
  void Close();

 private:
  class Stream;
  std::unique_ptr<Stream> stream_;
  const std::string host_;
  const std::string port_;
  const std::string api_key_;
};

}  // namespace dqueue::cmd
