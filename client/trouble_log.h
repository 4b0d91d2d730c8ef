// Decides which failures of a worker's calls are told to people: each cause once, and the end.
// Retries go on silently meanwhile. Thread-safe; no I/O, no clock.
//
// Told at once: a refusal that no retry can change, and connections that fail to every configured
// server. Told after kPatience: what passes by itself as a rule, such as an election, or the
// restart of a node that answered before.
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "client/retry.h"

namespace dqueue::client {

enum class Activity { kLease, kExtend, kReport };

class TroubleLog {
 public:
  static constexpr Duration kPatience{3000};
  // Gets the cause, or a status that is OK when calls succeed again. Called under a lock, so in
  // order; it must not call this object.
  using Tell = std::function<void(const Status& status)>;

  // `servers`: the number of configured servers.
  TroubleLog(size_t servers, Tell tell) : servers_(servers), tell_(std::move(tell)) {}

  // An attempt at `server` failed. The cause of a failed connection is in the reason, or not known
  // yet if that is empty. Returns true if a cause has been told and is not over.
  bool OnFailure(Activity activity, const std::string& server, const FailedAttempt& failure,
                 Clock::time_point now);
  // A call succeeded.
  void OnSuccess(Activity activity, Clock::time_point now);
  // The refusal of lease calls that no retry can change, and since when it has lasted.
  std::optional<std::pair<Status, Clock::time_point>> LeaseRefusal() const;
  // A cause has been told and is not over.
  bool active() const;

 private:
  struct Refusal {
    Activity activity;
    Status status;
    Clock::time_point since;
  };

  void TellOnce(const std::string& key, const Status& status, Clock::time_point now);

  const size_t servers_;
  const Tell tell_;
  mutable std::mutex mutex_;
  bool ever_succeeded_ = false;
  std::optional<Clock::time_point> failing_since_;  // connections, or no leader
  std::set<std::string> failed_servers_;            // connections since then
  std::set<std::string> told_;                      // causes since the last success
  std::optional<Clock::time_point> told_at_;        // the first of them
  std::optional<Refusal> refusal_;
};

}  // namespace dqueue::client
