// Reads jobs from JSON, one at a time, however long the file is: an array of objects, or objects
// one after the other (one a line, usually). A job:
//
//   {"id": "job-001", "type": "email", "queue": "mail", "payload": {"to": "user@example.com"},
//    "priority": 10, "timeout_ms": 5000, "delay_ms": 1000, "run_at": "2026-01-02T03:04:05Z",
//    "max_retries": 3, "idempotency_key": "k", "headers": {"k": "v"}, "labels": {"k": "v"}}
//
// A payload that is a string is carried as its content; any other JSON value as its exact source
// text, so that no number loses a digit. timeout_ms is the time for one attempt (the lease).
#pragma once

#include <cstdint>
#include <istream>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "client/client.h"

namespace dqueue::cmd {

// One job object. Fields that it does not have keep the value they have in `defaults`.
// INVALID_ARGUMENT: 'priority: "high" is not a whole number'; a syntax error says "byte N" of text.
absl::StatusOr<client::JobSpec> ParseJob(std::string_view text, const client::JobSpec& defaults);

class JobFileReader {
 public:
  // `in` must outlive the reader; `name` is for messages.
  JobFileReader(std::istream& in, std::string name, client::JobSpec defaults);

  // nullopt: the end. INVALID_ARGUMENT: "jobs.json:12:3: item 4: priority: …"; it is final.
  absl::StatusOr<std::optional<client::JobSpec>> Next();

  uint64_t bytes_read() const { return offset_; }

 private:
  enum class Layout { kUnknown, kArray, kSequence, kEnded };

  int Peek();
  int Take();
  void SkipSpace();
  absl::Status Problem(uint64_t line, uint64_t column, const std::string& what) const;
  absl::Status ProblemHere(const std::string& what) const { return Problem(line_, column_, what); }
  // Moves to the next object; false: there is none.
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
