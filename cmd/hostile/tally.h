// How the calls of the attackers ended, by attack and outcome.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

namespace dqueue::cmd {

// How a call ended.
struct Outcome {
  // "OK", the reason of a refusal ("OVERLOADED"), a gRPC code without a reason ("CANCELLED"), or
  // the status of an HTTP answer without a reason ("HTTP 204").
  std::string name;
  // The node says that the request itself is wrong, or not allowed. Attackers make legal requests
  // only: this is a defect of the attack.
  bool illegal = false;
  std::string message{};  // of an illegal request
};

// Thread-safe.
class Tally {
 public:
  struct Row {
    uint64_t calls = 0;
    std::map<std::string, uint64_t> outcomes;  // by Outcome::name
    std::string illegal;                       // the first illegal outcome: "REASON: message"
  };

  void Add(const std::string& attack, const Outcome& outcome, uint64_t count = 1) {
    const std::lock_guard lock(mutex_);
    Row& row = rows_[attack];
    row.calls += count;
    row.outcomes[outcome.name] += count;
    if (outcome.illegal && row.illegal.empty()) {
      row.illegal = outcome.name + ": " + outcome.message;
    }
  }
  std::map<std::string, Row> rows() const {
    const std::lock_guard lock(mutex_);
    return rows_;
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, Row> rows_;
};

}  // namespace dqueue::cmd
