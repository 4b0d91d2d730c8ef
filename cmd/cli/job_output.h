// The JSON and text forms of jobs, statuses, queues, workers and keys.
#pragma once

#include <string>
#include <vector>

#include "client/client.h"
#include "cmd/flags/text_output.h"

namespace dqueue::cmd {

// Writes an object that always has all fields. Times are RFC 3339 or null; the token is text. `key`
// names the object inside another one.
void WriteJob(const client::Job& job, JsonWriter* json, std::string_view key = {});
// Adds "code": "NOT_FOUND", "reason": "JOB_NOT_FOUND", "message": "…" to the open object.
void WriteStatus(const client::Status& status, JsonWriter* json);
// Writes an object with all numbers of a queue.
void WriteQueue(const client::QueueStats& q, JsonWriter* json, std::string_view key = {});

void WriteDeadGroup(const client::DeadGroup& group, JsonWriter* json, std::string_view key = {});
void WriteWorker(const client::WorkerInfo& worker, JsonWriter* json, std::string_view key = {});

// Adds the fields of a key to the open object. The secret is not one of them.
void WriteApiKey(const client::ApiKey& key, JsonWriter* json);

// One line per field and per attempt.
std::string JobText(const client::Job& job);
// "2026-01-02T03:04:05.678Z" or "-".
std::string TimeText(const std::optional<client::WallTime>& time);

}  // namespace dqueue::cmd
