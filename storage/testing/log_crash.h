// Crash tests of the log: a random workload on a disk that stops, and a check that recovery keeps
// the log's guarantees. Used by the crash tests and the mutant tests.
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
// Small segments, so that a short workload fills several.
LogOptions CrashOptions();

// Formats a log, writes batches to it, and reopens it cleanly from time to time.
class CrashWorkload {
 public:
  CrashWorkload(FaultFileSystem* fs, uint64_t seed, int batches);

  // Runs until all batches are written or the disk fails.
  void Run();

  bool formatted() const { return formatted_; }
  bool finished() const { return finished_; }
  size_t acknowledged() const { return acknowledged_; }  // a position in model()
  const LogModel& model() const { return model_; }
  // A broken guarantee before any crash; empty: none.
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

// Opens the log after a crash and compares it with the workload's model. Then writes more, loses
// power with nothing pending, and opens it again. Returns the first broken guarantee; empty: none.
std::string CheckAfterCrash(FaultFileSystem& fs, const CrashWorkload& workload);

// Stops a workload after each of its operations in turn, crashes `crashes` times from there, and
// checks each crash. Returns the first broken guarantee and where it was; empty: none.
std::string CrashEverywhere(uint64_t workload_seed, int batches, uint64_t crashes);

}  // namespace dqueue::storage
