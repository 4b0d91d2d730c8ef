// Reads jobs from a JSON file of any length, one at a time. The file is an array of objects, or a
// sequence of objects, usually one per line. A job:
//
//   {"id": "job-001", "type": "email", "queue": "mail", "payload": {"to": "user@example.com"},
//    "priority": 10, "timeout_ms": 5000, "delay_ms": 1000, "run_at": "2026-01-02T03:04:05Z",
//    "max_retries": 3, "idempotency_key": "k", "headers": {"k": "v"}, "labels": {"k": "v"}}
//
// All fields are optional. `payload` is any JSON value; the job's payload is its exact source text,
// so a string keeps its quotes and a number all digits. `payload_base64` has other bytes.
// timeout_ms is the lease duration.
#pragma once

#include <cstdint>
#include <istream>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "client/client.h"

namespace dqueue::cmd {

// Parses one job object. Missing fields have the value of `defaults`. INVALID_ARGUMENT names the
// field and the reason ("priority: must be a whole number, not a string"), or the byte of a syntax
// error, counted from 1.
absl::StatusOr<client::JobSpec> ParseJob(std::string_view text, const client::JobSpec& defaults);

// JSON in UTF-8, at most 32 levels deep. An answer over HTTP shows such a payload as JSON, too.
bool IsJson(std::string_view text);

class JobFileReader {
 public:
  // `in` must outlive the reader. `name` begins the messages.
  JobFileReader(std::istream& in, std::string name, client::JobSpec defaults);

  // Returns the next job; nullopt at the end. INVALID_ARGUMENT: "jobs.json:12:3: item 4: priority:
  // …" with line and column. Do not call it again after an error.
  absl::StatusOr<std::optional<client::JobSpec>> Next();

  uint64_t bytes_read() const { return offset_; }

 private:
  enum class Layout { kUnknown, kArray, kSequence, kEnded };

  int Peek();
  int Take();
  void SkipSpace();
  absl::Status Problem(uint64_t line, uint64_t column, const std::string& what) const;
  absl::Status ProblemHere(const std::string& what) const { return Problem(line_, column_, what); }
  // Moves to the next object. False: the end.
  absl::StatusOr<bool> FindItem();
  absl::StatusOr<std::string> TakeObject();

  std::istream& in_;
  std::string name_;
  client::JobSpec defaults_;
  Layout layout_ = Layout::kUnknown;
  uint64_t items_ = 0;
  uint64_t offset_ = 0;
  uint64_t line_ = 1;
  uint64_t column_ = 1;
};

}  // namespace dqueue::cmd
