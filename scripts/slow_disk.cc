// Test library for LD_PRELOAD: delays every sync by DQUEUE_SLOW_SYNC_MS milliseconds.
#include <dlfcn.h>
#include <sys/uio.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <thread>

namespace {

void Wait() {
  const char* ms = std::getenv("DQUEUE_SLOW_SYNC_MS");
  if (ms != nullptr) std::this_thread::sleep_for(std::chrono::milliseconds(std::atoi(ms)));
}

}  // namespace

extern "C" int fdatasync(int fd) {
  static const auto next = reinterpret_cast<int (*)(int)>(dlsym(RTLD_NEXT, "fdatasync"));
  Wait();
  return next(fd);
}

extern "C" ssize_t pwritev2(int fd, const iovec* data, int count, off_t offset, int flags) {
  static const auto next = reinterpret_cast<decltype(&pwritev2)>(dlsym(RTLD_NEXT, "pwritev2"));
  if ((flags & RWF_DSYNC) != 0) Wait();
  return next(fd, data, count, offset, flags);
}
