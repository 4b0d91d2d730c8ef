#include "cmd/cli/bulk_enqueue.h"

#include <utility>

namespace dqueue::cmd {
namespace {

// Room for the batches in flight and the next ones.
constexpr size_t kWindowJobs = 10000;
constexpr size_t kWindowBytes = 32 << 20;

bool MeetsEveryJob(client::Code code) {
  return code == client::Code::kUnavailable || code == client::Code::kUnknownOutcome ||
         code == client::Code::kDeadlineExceeded || code == client::Code::kPermissionDenied ||
         code == client::Code::kResourceExhausted;
}

}  // namespace

BulkEnqueue::BulkEnqueue(client::Client* client, OnResult on_result)
    : client_(client), on_result_(std::move(on_result)) {}

BulkEnqueue::~BulkEnqueue() { Finish(); }

bool BulkEnqueue::Add(client::JobSpec spec) {
  const size_t bytes = spec.payload.size() + 512;
  Slot* slot = nullptr;
  {
    std::unique_lock lock(mutex_);
    for (Deliver(lock); !window_.empty() &&
                        (window_.size() >= kWindowJobs || window_bytes_ + bytes > kWindowBytes);
         Deliver(lock)) {
      answered_.wait(lock, [this] { return window_.front().result.has_value(); });
    }
    if (hopeless_) return false;
    ++counts_.submitted;
    window_bytes_ += bytes;
    slot = &window_.emplace_back(Slot{bytes, std::nullopt});
  }
  // `slot` stays valid: an element is removed only at the front, after it has its result.
  client_->EnqueueAsync(std::move(spec), [this, slot](client::Result<client::Enqueued> result) {
    std::lock_guard lock(mutex_);
    slot->result = std::move(result);
    if (slot == &window_.front()) answered_.notify_one();
  });
  return true;
}

void BulkEnqueue::Finish() {
  std::unique_lock lock(mutex_);
  for (Deliver(lock); !window_.empty(); Deliver(lock)) {
    answered_.wait(lock, [this] { return window_.front().result.has_value(); });
  }
}

// Reports the results at the front of the window. Unlocks during the callback.
void BulkEnqueue::Deliver(std::unique_lock<std::mutex>& lock) {
  while (!window_.empty() && window_.front().result) {
    const client::Result<client::Enqueued> result = *std::move(window_.front().result);
    window_bytes_ -= window_.front().bytes;
    window_.pop_front();
    const uint64_t item = delivered_++;
    if (!result.ok()) {
      ++counts_.failed;
      if (!first_failure_) first_failure_ = result.status;
      if (MeetsEveryJob(result.status.code)) hopeless_ = true;
    } else if (result.value.created) {
      ++counts_.created;
    } else {
      ++counts_.existing;
    }
    lock.unlock();
    if (on_result_) on_result_(item, result);
    lock.lock();
  }
}

}  // namespace dqueue::cmd
