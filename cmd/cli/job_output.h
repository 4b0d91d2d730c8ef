// How jobs, statuses and queues look on the command line.
#pragma once

#include <string>
#include <vector>

#include "client/client.h"
#include "cmd/flags/text_output.h"

namespace dqueue::cmd {

// An object with every field, always the same ones: times in RFC 3339 or null, the token as text.
void WriteJob(const client::Job& job, JsonWriter* json, std::string_view key = {});
// {"code": "NOT_FOUND", "reason": "JOB_NOT_FOUND", "message": "…"}, within an object that is open.
void WriteStatus(const client::Status& status, JsonWriter* json);
// An object with every number of a queue.
void WriteQueue(const client::QueueStats& q, JsonWriter* json, std::string_view key = {});

void WriteDeadGroup(const client::DeadGroup& group, JsonWriter* json, std::string_view key = {});
void WriteWorker(const client::WorkerInfo& worker, JsonWriter* json, std::string_view key = {});

// What is known of a key, within an object that is open; never the key itself.
void WriteApiKey(const client::ApiKey& key, JsonWriter* json);

// One line a field, and one an attempt.
std::string JobText(const client::Job& job);
// "2026-01-02T03:04:05.678Z" or "-".
std::string TimeText(const std::optional<client::WallTime>& time);

}  // namespace dqueue::cmd
