// Enqueues any number of jobs with bounded memory. The client gathers them into batches. Up to
// 10,000 jobs or 32 MiB wait for their results. One thread.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

#include "client/client.h"

namespace dqueue::cmd {

struct BulkCounts {
  uint64_t submitted = 0;
  uint64_t created = 0;
  uint64_t existing = 0;
  uint64_t failed = 0;
};

class BulkEnqueue {
 public:
  // Called for each job in the order of Add(), from Add() or Finish(). `item` counts from 0.
  using OnResult =
      std::function<void(uint64_t item, const client::Result<client::Enqueued>& result)>;

  BulkEnqueue(client::Client* client, OnResult on_result);
  ~BulkEnqueue();  // Finish()
  BulkEnqueue(const BulkEnqueue&) = delete;
  BulkEnqueue& operator=(const BulkEnqueue&) = delete;

  // Waits while the window is full. Returns false, and does not send the job, after a failure that
  // any further job would meet (no node reached, permission denied).
  bool Add(client::JobSpec spec);
  // Waits for all answers.
  void Finish();

  const BulkCounts& counts() const { return counts_; }
  // The status of the first job that failed.
  const std::optional<client::Status>& first_failure() const { return first_failure_; }

 private:
  struct Slot {
    size_t bytes = 0;
    std::optional<client::Result<client::Enqueued>> result;
  };
  void Deliver(std::unique_lock<std::mutex>& lock);

  client::Client* client_;
  OnResult on_result_;
  std::mutex mutex_;
  std::condition_variable answered_;
  std::deque<Slot> window_;  // starts at item delivered_; addresses stay valid
  size_t window_bytes_ = 0;
  uint64_t delivered_ = 0;
  BulkCounts counts_;
  std::optional<client::Status> first_failure_;
  bool hopeless_ = false;
};

}  // namespace dqueue::cmd
