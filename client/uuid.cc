// UUIDv7 with a sub-millisecond clock sequence (RFC 9562, 5.7 and 6.2 method 3): 48 bits of
// milliseconds, 12 bits of 1/4096 ms, made increasing within the process, and 62 random bits.
#include <pthread.h>

#include <atomic>
#include <random>

#include "client/client.h"

namespace dqueue::client {
namespace {

// Reseeds after fork(), so that a child does not repeat its parent's random bits.
std::atomic<uint64_t>& ForkGeneration() {
  static std::atomic<uint64_t> generation{1};
  static const int registered = pthread_atfork(nullptr, nullptr, [] { ++ForkGeneration(); });
  (void)registered;
  return generation;
}

uint64_t RandomBits() {
  struct Source {
    uint64_t generation = 0;
    std::mt19937_64 engine;
  };
  thread_local Source source;
  const uint64_t generation = ForkGeneration().load(std::memory_order_relaxed);
  if (source.generation != generation) {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device(), device(), device()};
    source.engine.seed(seed);
    source.generation = generation;
  }
  return source.engine();
}

// Units of 1/4096 ms since 1970. Each call returns a greater number.
uint64_t NextTick() {
  static std::atomic<uint64_t> last{0};
  const auto now = std::chrono::duration_cast<std::chrono::nanoseconds>(
      std::chrono::system_clock::now().time_since_epoch());
  const auto ns = static_cast<uint64_t>(now.count());
  const uint64_t tick = (ns / 1000000 << 12) | ((ns % 1000000) * 4096 / 1000000);
  uint64_t before = last.load(std::memory_order_relaxed);
  uint64_t next = 0;
  do {
    next = tick > before ? tick : before + 1;
  } while (!last.compare_exchange_weak(before, next, std::memory_order_relaxed));
  return next;
}

}  // namespace

std::string NewUuidV7() {
  const uint64_t tick = NextTick();
  const uint64_t high = (tick >> 12) << 16 | 0x7000 | (tick & 0xfff);
  const uint64_t low = (RandomBits() >> 2) | 0x8000000000000000;
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(36);
  for (int digit = 0; digit < 32; ++digit) {
    if (digit == 8 || digit == 12 || digit == 16 || digit == 20) out += '-';
    const uint64_t word = digit < 16 ? high : low;
    out += kDigits[(word >> (60 - 4 * (digit % 16))) & 15];
  }
  return out;
}

}  // namespace dqueue::client
