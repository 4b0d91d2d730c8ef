// Enqueues any number of jobs with bounded memory: the client gathers them into batches, and no
// more than a window of them is without an answer.
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
  // Called in the order of Add(), on the thread of Add() or Finish(). `item` counts from 0.
  using OnResult =
      std::function<void(uint64_t item, const client::Result<client::Enqueued>& result)>;

  BulkEnqueue(client::Client* client, OnResult on_result);
  ~BulkEnqueue();  // Finish()
  BulkEnqueue(const BulkEnqueue&) = delete;
  BulkEnqueue& operator=(const BulkEnqueue&) = delete;

  // Waits while the window is full. False: a failure of the kind that would meet every job (nobody
  // can be reached, permission denied) was seen; the job was not sent.
  bool Add(client::JobSpec spec);
  // Waits for all answers.
  void Finish();

  const BulkCounts& counts() const { return counts_; }
  // Of the first job that failed.
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
  std::deque<Slot> window_;  // from item delivered_ on; addresses are stable at both ends
  size_t window_bytes_ = 0;
  uint64_t delivered_ = 0;
  BulkCounts counts_;
  std::optional<client::Status> first_failure_;
  bool hopeless_ = false;
};

}  // namespace dqueue::cmd
