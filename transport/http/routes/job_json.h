// Jobs as JSON for /tasks and /jobs: one object with the member names of all APIs that these routes
// imitate. docs/http.md lists the members.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "dqueue/v1/job.pb.h"
#include "dqueue/v1/service.pb.h"

namespace dqueue::transport {

// `now`: the base of the lease's expiry time.
std::string JobJson(const v1::Job& job, std::chrono::system_clock::time_point now);

// One queue, or the total, with counters as numbers.
std::string QueueJson(const v1::QueueStats& queue);
// Counters as numbers: {"total": {…}, "queues": {"mail": {…}}, "applied_index": 7}.
std::string StatsJson(const v1::GetStatsResponse& stats);

// READY, RUNNING, RETRY, ACKED, DEAD, CANCELLED. A delayed job is READY; a job that waits after a
// failure is RETRY.
const char* StateWord(const v1::Job& job);
// pending, processing, failed (waits for another attempt), done, dlq, cancelled.
const char* StatusWord(const v1::Job& job);

// In the form of dqueue-cli: term-sequence-job, 16 hexadecimal digits each.
std::string TokenText(const v1::LeaseToken& token);
std::optional<v1::LeaseToken> ParseToken(const std::string& text);

}  // namespace dqueue::transport
