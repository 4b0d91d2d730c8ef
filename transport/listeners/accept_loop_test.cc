#include "transport/listeners/accept_loop.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <climits>
#include <condition_variable>
#include <mutex>
#include <vector>

namespace dqueue::transport {
namespace {

UniqueFd Connect(int port) {
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) fd.Reset();
  return fd;
}

// True if the other side closes the connection within a while.
bool IsClosed(const UniqueFd& fd) {
  const timeval limit{20, 0};
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  char byte = 0;
  const ssize_t got = recv(fd.get(), &byte, 1, 0);
  return got == 0 || (got < 0 && errno == ECONNRESET);
}

// Keeps what it is given.
class Connections {
 public:
  std::function<void(int)> Taker() {
    return [this](int fd) {
      const std::lock_guard lock(mutex_);
      fds_.emplace_back(fd);
      changed_.notify_all();
    };
  }
  bool WaitFor(size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), [&] { return fds_.size() >= count; });
  }
  size_t count() {
    const std::lock_guard lock(mutex_);
    return fds_.size();
  }
  int At(size_t i) {
    const std::lock_guard lock(mutex_);
    return fds_[i].get();
  }
  void Clear() {
    const std::lock_guard lock(mutex_);
    fds_.clear();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<UniqueFd> fds_;
};

TEST(AcceptLoop, HandsConnectionsOn) {
  absl::StatusOr<ListenSocket> socket = OpenListenSocket("127.0.0.1:0");
  ASSERT_TRUE(socket.ok());
  Connections connections;
  AcceptLoop loop(std::move(socket->fd), INT_MAX, connections.Taker());
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 20; ++i) clients.push_back(Connect(socket->port));
  ASSERT_TRUE(connections.WaitFor(20));
  int no_delay = 0;
  socklen_t size = sizeof(no_delay);
  EXPECT_EQ(getsockopt(connections.At(0), IPPROTO_TCP, TCP_NODELAY, &no_delay, &size), 0);
  EXPECT_NE(no_delay, 0);
  EXPECT_NE(fcntl(connections.At(0), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_NE(fcntl(connections.At(0), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_EQ(loop.refused(), 0u);
}

TEST(AcceptLoop, ClosesWhatIsAboveItsLimit) {
  absl::StatusOr<ListenSocket> socket = OpenListenSocket("127.0.0.1:0");
  ASSERT_TRUE(socket.ok());
  Connections connections;
  AcceptLoop loop(std::move(socket->fd), 0, connections.Taker());
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(IsClosed(Connect(socket->port)));
  EXPECT_EQ(connections.count(), 0u);
  EXPECT_EQ(loop.refused(), 3u);
}

TEST(AcceptLoop, SurvivesALackOfDescriptors) {
  absl::StatusOr<ListenSocket> socket = OpenListenSocket("127.0.0.1:0");
  ASSERT_TRUE(socket.ok());
  Connections connections;
  AcceptLoop loop(std::move(socket->fd), INT_MAX, connections.Taker());
  UniqueFd client = Connect(socket->port);
  ASSERT_TRUE(connections.WaitFor(1));

  // A client's socket made before the limit falls to what is open.
  UniqueFd late(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const UniqueFd highest(dup(late.get()));
  const rlimit low{static_cast<rlim_t>(highest.get()) + 1, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  std::vector<UniqueFd> fill;
  for (int fd = dup(late.get()); fd >= 0; fd = dup(late.get())) fill.emplace_back(fd);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(socket->port));
  ASSERT_EQ(connect(late.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_TRUE(IsClosed(late)) << "turned away, not left hanging";
  fill.clear();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);

  EXPECT_GE(loop.refused(), 1u);
  const UniqueFd again = Connect(socket->port);
  EXPECT_TRUE(connections.WaitFor(2)) << "it accepts again";
}

TEST(RaiseDescriptorLimit, RaisesToTheHardLimitOrSaysWhatIsMissing) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit low{64, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  const absl::StatusOr<int> raised = RaiseDescriptorLimit(65);
  ASSERT_TRUE(raised.ok()) << raised.status();
  rlimit after{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &after), 0);
  EXPECT_EQ(after.rlim_cur, before.rlim_max);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  const absl::StatusOr<int> too_many = RaiseDescriptorLimit(INT_MAX);
  EXPECT_EQ(too_many.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(std::string(too_many.status().message()).find("but 2147483647 are needed"),
            std::string::npos)
      << too_many.status();
}

}  // namespace
}  // namespace dqueue::transport
