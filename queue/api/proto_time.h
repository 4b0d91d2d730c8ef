// Converts times to Protobuf messages. validate.h has the reverse.
//
// Protobuf's own TimeUtil ends the process for times beyond the year 9999. Times from the log, a
// snapshot or the machine's clock must not do that.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>

#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"

namespace dqueue::queue {

// time: not negative; a Timestamp's is since 1970.
template <class T>
requires std::same_as<T, google::protobuf::Duration> || std::same_as<T, google::protobuf::Timestamp>
void SetTime(std::chrono::microseconds time, T* out) {
  out->set_seconds(time.count() / 1'000'000);
  out->set_nanos(static_cast<int32_t>(time.count() % 1'000'000 * 1000));
}

// In milliseconds, as the log and the state machine have them: any, not only what SetTime could
// take in microseconds.
template <class T>
void SetMs(int64_t ms, T* out) {
  out->set_seconds(ms / 1000);
  out->set_nanos(static_cast<int32_t>(ms % 1000 * 1'000'000));
}

}  // namespace dqueue::queue
