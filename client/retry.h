// The SDK's retry policy: decides what follows a failed attempt. Pure: no I/O, no clock.
#pragma once

#include <chrono>
#include <cstdint>
#include <random>
#include <string>

#include "client/client.h"

namespace dqueue::client {

using Clock = std::chrono::steady_clock;

// A failed attempt, as reported by the server or by gRPC.
struct FailedAttempt {
  Status status{};               // empty reason: not from a dqueue server
  std::string leader_address{};  // named by the server; empty: none
  Duration retry_after{0};       // the server's RetryInfo; 0: none
  // The connection was refused, broke or timed out.
  bool transport = false;
  // The request may have taken effect.
  bool maybe_done = false;
};

struct Step {
  enum class Kind {
    kGiveUp,  // return `status` to the caller
    kRetry,   // try again after `wait`
  };
  Kind kind = Kind::kGiveUp;
  Duration wait{0};
  // Prefer another server for the next attempts.
  bool avoid_server = false;
  Status status;
};

// What a call does, and so what may follow an attempt whose outcome is unknown.
enum class Effect {
  kNone,  // reads: try again
  // Changes state. Carrying it out twice has the effect of once, because ids or lease tokens tell
  // the repetition: try again, and report an outcome that stays unknown.
  kIdempotent,
  // Changes state, again with each repetition: report the unknown outcome at once. Nodes do not
  // repeat these calls either (docs/api.md).
  kOnce,
};

class RetryState {
 public:
  static constexpr Duration kBackOffMin{10};
  static constexpr Duration kBackOffMax{500};

  // `servers`: how many servers to try before the first wait. `seed`: of the jitter.
  RetryState(Clock::time_point deadline, Effect effect, size_t servers, uint64_t seed);

  Step OnFailure(const FailedAttempt& failure, Clock::time_point now);
  // The result of the call at its deadline.
  Status OutOfTime() const;
  Clock::time_point deadline() const { return deadline_; }
  // An earlier attempt may have taken effect.
  bool unknown() const { return unknown_; }

 private:
  Duration NextBackOff();

  const Clock::time_point deadline_;
  const Effect effect_;
  const size_t servers_;
  std::minstd_rand random_;
  Duration back_off_ = kBackOffMin;
  size_t tried_without_waiting_ = 0;
  bool unknown_ = false;
  Status last_;
};

}  // namespace dqueue::client
