// For tests: raw HTTP/1 over a loopback socket.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <string>

#include "transport/listeners/listen_socket.h"

namespace dqueue::transport {

class RawClient {
 public:
  explicit RawClient(int port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(port));
    EXPECT_EQ(connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    const timeval limit{30, 0};
    setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  }

  int fd() const { return fd_.get(); }
  void Close() { fd_.Reset(); }
  void EndSending() { shutdown(fd_.get(), SHUT_WR); }

  void Send(const std::string& bytes) {
    size_t sent = 0;
    while (sent < bytes.size()) {
      const ssize_t n = send(fd_.get(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) return;  // the server refused it early
      sent += static_cast<size_t>(n);
    }
  }
  // Reads until the server ends the connection.
  std::string ReadAll() {
    while (More()) {
    }
    return std::move(read_);
  }
  // Reads to the end of the next `text`, or to the end of the connection.
  std::string ReadUntil(const std::string& text) {
    size_t at = 0;
    while ((at = read_.find(text)) == std::string::npos && More()) {
    }
    if (at == std::string::npos) return std::move(read_);
    const std::string found = read_.substr(0, at + text.size());
    read_.erase(0, found.size());
    return found;
  }
  // Reads one answer, with or without a Content-Length.
  std::string ReadAnswer() {
    size_t end = 0;
    while ((end = read_.find("\r\n\r\n")) == std::string::npos && More()) {
    }
    if (end == std::string::npos) return std::move(read_);
    size_t length = end + 4;
    const size_t field = read_.find("Content-Length: ");
    if (field < end) length += std::stoul(read_.substr(field + 16));
    while (read_.size() < length && More()) {
    }
    const std::string answer = read_.substr(0, length);
    read_.erase(0, length);
    return answer;
  }

 private:
  bool More() {
    char buffer[16384];
    const ssize_t n = recv(fd_.get(), buffer, sizeof(buffer), 0);
    if (n > 0) read_.append(buffer, static_cast<size_t>(n));
    return n > 0;
  }

  UniqueFd fd_;
  std::string read_;
};

inline std::string FirstLine(const std::string& response) {
  return response.substr(0, response.find("\r\n"));
}
inline std::string Body(const std::string& response) {
  const size_t end = response.find("\r\n\r\n");
  return end == std::string::npos ? "" : response.substr(end + 4);
}

}  // namespace dqueue::transport
