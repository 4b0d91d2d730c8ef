// A log that lives on a disk that stops: random writes up to the stop, and the question whether
// what a start finds afterwards keeps the log's promise. For tests and for the deliberate bugs.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "storage/log/log.h"
#include "storage/testing/fault_file_system.h"
#include "storage/testing/log_model.h"

namespace dqueue::storage {

inline constexpr char kCrashDirectory[] = "data/wal";

Identity CrashIdentity();
// Segments so small that a short workload fills several.
LogOptions CrashOptions();

// Formats a log and writes to it, batch by batch, with clean restarts in between.
class CrashWorkload {
 public:
  CrashWorkload(FaultFileSystem* fs, uint64_t seed, int batches);

  // Until all is done or the disk fails.
  void Run();

  bool formatted() const { return formatted_; }
  bool finished() const { return finished_; }
  size_t acknowledged() const { return acknowledged_; }  // a position in model()
  const LogModel& model() const { return model_; }
  // What was wrong although nothing had crashed; empty: nothing.
  const std::string& violation() const { return violation_; }

 private:
  bool Open();

  FaultFileSystem& fs_;
  RandomWrites writes_;
  const uint64_t seed_;
  const int batches_;
  LogModel model_;
  std::unique_ptr<Log> log_;
  bool formatted_ = false;
  bool finished_ = false;
  uint64_t token_ = 0;
  uint64_t last_durable_ = 0;
  std::map<uint64_t, size_t> positions_;  // by token
  size_t acknowledged_ = 0;
  std::string violation_;
};

// Opens the log after a crash, compares it with the workload's model, writes on, loses power
// without anything pending, and opens again. Empty: the promise was kept.
std::string CheckAfterCrash(FaultFileSystem& fs, const CrashWorkload& workload);

// Stops a workload after each of its operations in turn, crashes `crashes` times from there, and
// checks. The first violation, with where it was; empty: none.
std::string CrashEverywhere(uint64_t workload_seed, int batches, uint64_t crashes);

}  // namespace dqueue::storage
