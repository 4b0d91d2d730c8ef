#include "transport/listeners/listen_socket.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace dqueue::transport {
namespace {

std::string ParseError(const std::string& text) {
  const absl::StatusOr<ListenAddress> address = ParseListenAddress(text);
  if (address.ok()) return "accepted";
  EXPECT_EQ(address.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(address.status().message());
}

TEST(ParseListenAddress, GoodOnes) {
  struct Row {
    const char* text;
    ListenAddress address;
  };
  for (const Row& row : {
           Row{":9090", {"", 9090}},
           Row{":0", {"", 0}},
           Row{"127.0.0.1:9090", {"127.0.0.1", 9090}},
           Row{"[::1]:9090", {"::1", 9090}},
           Row{"[::]:65535", {"::", 65535}},
           Row{"localhost:1", {"localhost", 1}},
           Row{"node-1.example.org:9090", {"node-1.example.org", 9090}},
       }) {
    const absl::StatusOr<ListenAddress> address = ParseListenAddress(row.text);
    ASSERT_TRUE(address.ok()) << row.text;
    EXPECT_EQ(*address, row.address) << row.text;
  }
}

TEST(ParseListenAddress, BadOnes) {
  const std::string how = "; write host:port, :port or [ipv6]:port";
  struct Row {
    std::string text;
    std::string message;
  };
  for (const Row& row : {
           Row{"", "listen address \"\": it is empty"},
           Row{"9090", "listen address \"9090\": no port"},
           Row{"host", "listen address \"host\": no port"},
           Row{"host:", "listen address \"host:\": no port"},
           Row{":", "listen address \":\": no port"},
           Row{"host:http",
               "listen address \"host:http\": the port is not a number from 0 to 65535"},
           Row{"host:-1", "listen address \"host:-1\": the port is not a number from 0 to 65535"},
           Row{"host: 1", "listen address \"host: 1\": the port is not a number from 0 to 65535"},
           Row{":65536", "listen address \":65536\": the port is not a number from 0 to 65535"},
           Row{":0000080", "listen address \":0000080\": the port is not a number from 0 to 65535"},
           Row{"::1:9090", "listen address \"::1:9090\": an IPv6 address needs brackets"},
           Row{"[::1]", "listen address \"[::1]\": no port after \"]\""},
           Row{"[::1:9090", "listen address \"[::1:9090\": no port after \"]\""},
           Row{"[]:9090", "listen address \"[]:9090\": no IPv6 address between the brackets"},
           Row{"[1.2.3.4]:1",
               "listen address \"[1.2.3.4]:1\": no IPv6 address between the "
               "brackets"},
           Row{"a b:1", "listen address \"a b:1\": the host has a character that cannot be in one"},
           Row{"http://h:1", "listen address \"http://h:1\": an IPv6 address needs brackets"},
           Row{"h/x:1", "listen address \"h/x:1\": the host has a character that cannot be in one"},
           Row{"x]:1", "listen address \"x]:1\": the host has a character that cannot be in one"},
           Row{"\n:1",
               "listen address \"\\x0a:1\": the host has a character that cannot be in one"},
           Row{std::string(254, 'a') + ":1", "listen address \"" + std::string(80, 'a') +
                                                 "...\": the host is longer than 253 bytes"},
       }) {
    EXPECT_EQ(ParseError(row.text), row.message + how);
  }
}

TEST(OpenListenSocket, GivesAFreePort) {
  for (const char* text : {":0", "127.0.0.1:0", "localhost:0"}) {
    const absl::StatusOr<ListenSocket> socket = OpenListenSocket(text);
    ASSERT_TRUE(socket.ok()) << socket.status();
    EXPECT_GT(socket->port, 0);
    // Someone can connect to it.
    const UniqueFd client(::socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(socket->port));
    EXPECT_EQ(connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0)
        << text;
  }
}

TEST(OpenListenSocket, TwoCannotShareAPort) {
  for (const char* host : {"127.0.0.1", ""}) {
    const absl::StatusOr<ListenSocket> first = OpenListenSocket(std::string(host) + ":0");
    ASSERT_TRUE(first.ok());
    const std::string text = std::string(host) + ":" + std::to_string(first->port);
    const absl::StatusOr<ListenSocket> second = OpenListenSocket(text);
    EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(std::string(second.status().message()),
              "cannot listen on \"" + text +
                  "\": Address already in use; another program (or another node) uses this port");
  }
}

TEST(OpenListenSocket, AnAddressOfAnotherMachine) {
  const absl::StatusOr<ListenSocket> socket = OpenListenSocket("192.0.2.1:0");
  EXPECT_EQ(socket.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(std::string(socket.status().message()),
            "cannot listen on \"192.0.2.1:0\": Cannot assign requested address; no interface of "
            "this machine has the address");
}

TEST(OpenListenSocket, AHostThatDoesNotResolve) {
  const absl::StatusOr<ListenSocket> socket = OpenListenSocket("no-such-host.invalid:1");
  EXPECT_EQ(socket.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(std::string(socket.status().message())
                .find("listen address \"no-such-host.invalid:1\": the host does not resolve ("),
            0u)
      << socket.status();
}

}  // namespace
}  // namespace dqueue::transport
