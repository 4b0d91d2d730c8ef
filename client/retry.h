// What to do after an attempt failed: the whole policy of the SDK, without a socket or a clock.
#pragma once

#include <chrono>
#include <cstdint>
#include <random>
#include <string>

#include "client/client.h"

namespace dqueue::client {

using Clock = std::chrono::steady_clock;

// An attempt that failed, told by the server or by the transport.
struct FailedAttempt {
  Status status;  // reason empty: not from a dqueue server
  std::string leader_address;
  Duration retry_after{0};  // greater than 0: the server says that waiting this long helps
  // Of transport failures (connection refused, broken, timed out).
  bool transport = false;
  // The request may have been carried out.
  bool maybe_done = false;
};

struct Step {
  enum class Kind {
    kGiveUp,  // answer `status`
    kRetry,   // after `wait`
  };
  Kind kind = Kind::kGiveUp;
  Duration wait{0};
  // Ask another server than the one that failed.
  bool avoid_server = false;
  Status status;
};

class RetryState {
 public:
  static constexpr Duration kBackOffMin{10};
  static constexpr Duration kBackOffMax{500};

  // `changes`: repeating could matter, so an unknown outcome is told. `servers`: how many there are
  // to try before waiting.
  RetryState(Clock::time_point deadline, bool changes, size_t servers, uint64_t seed);

  Step OnFailure(const FailedAttempt& failure, Clock::time_point now);
  // The answer when the time is over.
  Status OutOfTime() const;
  Clock::time_point deadline() const { return deadline_; }
  // An earlier attempt may have been carried out.
  bool unknown() const { return unknown_; }

 private:
  Duration NextBackOff();

  const Clock::time_point deadline_;
  const bool changes_;
  const size_t servers_;
  std::minstd_rand random_;
  Duration back_off_ = kBackOffMin;
  size_t tried_without_waiting_ = 0;
  bool unknown_ = false;
  Status last_;
};

}  // namespace dqueue::client
