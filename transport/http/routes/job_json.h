// A job as the routes /tasks and /jobs show it: one object with the words of every API that they
// stand in for. docs/http.md lists the members.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "dqueue/v1/job.pb.h"
#include "dqueue/v1/service.pb.h"

namespace dqueue::transport {

// `now`: what the rest of a lease is added to.
std::string JobJson(const v1::Job& job, std::chrono::system_clock::time_point now);

// Of one queue, or of the total: counters as numbers.
std::string QueueJson(const v1::QueueStats& queue);
// Counters as numbers: {"total": {…}, "queues": {"mail": {…}}, "applied_index": 7}.
std::string StatsJson(const v1::GetStatsResponse& stats);

// READY, RUNNING, RETRY, ACKED, DEAD, CANCELLED. A delayed job is READY, one that waits after a
// failure RETRY.
const char* StateWord(const v1::Job& job);
// pending, processing, failed (waits for another attempt), done, dlq, cancelled.
const char* StatusWord(const v1::Job& job);

// As dqueue-cli writes it: term-sequence-job, 16 hexadecimal digits each.
std::string TokenText(const v1::LeaseToken& token);
std::optional<v1::LeaseToken> ParseToken(const std::string& text);

}  // namespace dqueue::transport
