#include "cmd/hostile/health_probe.h"

#include <chrono>

#include "cmd/hostile/http_client.h"

namespace dqueue::cmd {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kInterval{100};
constexpr std::chrono::milliseconds kLimit{1000};

}  // namespace

HealthProbe::HealthProbe(const std::vector<std::string>& addresses) {
  for (const std::string& address : addresses) {
    threads_.emplace_back([this, address](const std::stop_token& stop) { Run(stop, address); });
  }
}

void HealthProbe::Stop() {
  for (std::jthread& thread : threads_) thread.request_stop();
  threads_.clear();  // joins
}

void HealthProbe::Run(const std::stop_token& stop, const std::string& address) {
  while (!stop.stop_requested()) {
    const Clock::time_point start = Clock::now();
    HttpClient client(address, "");
    const bool ok = client.Call({.target = "/health"}, kLimit).status == 200;
    const Clock::duration time = Clock::now() - start;
    {
      const std::lock_guard lock(mutex_);
      ok ? latencies_.Add(time) : static_cast<void>(++failed_);
    }
    std::this_thread::sleep_until(start + kInterval);
  }
}

}  // namespace dqueue::cmd
