// For tests, with LD_PRELOAD: a disk that takes DQUEUE_SLOW_SYNC_MS for every fdatasync.
#include <dlfcn.h>
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
