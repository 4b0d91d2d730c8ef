#include "transport/listeners/accept_loop.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace dqueue::transport {
namespace {

// Pause while descriptors are lacking: the listener stays readable, and the loop would spin.
constexpr int kBackOffMs = 20;
constexpr uint64_t kLogEvery = 1000;

}  // namespace

AcceptLoop::AcceptLoop(UniqueFd listener, int max_descriptor,
                       std::function<void(int)> on_connection)
    : listener_(std::move(listener)),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      reserve_(open("/dev/null", O_RDONLY | O_CLOEXEC)),
      max_descriptor_(max_descriptor),
      on_connection_(std::move(on_connection)) {
  DQ_CHECK_MSG(wake_.valid(), std::string("eventfd: ") + std::strerror(errno));
  thread_ = std::thread([this] { Run(); });
}

AcceptLoop::~AcceptLoop() {
  stop_.store(true);
  const uint64_t one = 1;
  // Cannot fail: the eventfd counter is far from its maximum.
  [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof(one));
  thread_.join();
}

void AcceptLoop::Run() {
  while (!stop_.load()) {
    pollfd fds[2] = {{listener_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
    if (poll(fds, 2, -1) < 0 && errno != EINTR) {
      spdlog::error("accepting connections: poll: {}", std::strerror(errno));
      poll(nullptr, 0, kBackOffMs);
      continue;
    }
    while (!stop_.load() && AcceptOne()) {
    }
  }
}

bool AcceptLoop::AcceptOne() {
  const int fd = accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd >= 0) {
    // The kernel gives the lowest free number, so the number says how many are open.
    if (fd >= max_descriptor_) {
      Refuse("too many connections");
      close(fd);
      return true;
    }
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    on_connection_(fd);
    return true;
  }
  switch (errno) {
    case EAGAIN:
      return false;
    case EMFILE:
    case ENFILE: {
      // Use the reserved descriptor to accept and close the connection; otherwise it would hang.
      reserve_.Reset();
      Refuse("out of descriptors");
      const UniqueFd turned_away(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!turned_away.valid()) poll(nullptr, 0, kBackOffMs);
      break;
    }
    case ENOBUFS:
    case ENOMEM:
      Refuse("out of memory");
      poll(nullptr, 0, kBackOffMs);
      break;
    default:
      // An error of this connection only (ECONNABORTED, EPERM, …): accept the next one.
      break;
  }
  if (!reserve_.valid()) reserve_ = UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC));
  return true;
}

void AcceptLoop::Refuse(const char* why) {
  const uint64_t count = refused_.fetch_add(1, std::memory_order_relaxed) + 1;
  if (count == 1 || count % kLogEvery == 0) {
    spdlog::warn("connection refused: {} ({} refused since the start)", why, count);
  }
}

absl::StatusOr<int> RaiseDescriptorLimit(int needed) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
    return absl::InternalError(std::string("getrlimit(RLIMIT_NOFILE): ") + std::strerror(errno));
  }
  if (limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) getrlimit(RLIMIT_NOFILE, &limit);
  }
  const int have = static_cast<int>(std::min<rlim_t>(limit.rlim_cur, INT_MAX));
  if (have < needed) {
    return absl::FailedPreconditionError(
        "the limit of open files is " + std::to_string(have) + ", but " + std::to_string(needed) +
        " are needed; raise the hard limit (ulimit -Hn, LimitNOFILE= of the service) or lower the "
        "number of connections");
  }
  return have;
}

}  // namespace dqueue::transport
