#include "cmd/cli/job_output.h"

#include "cmd/cli/job_file.h"
#include "cmd/flags/escape.h"
#include "cmd/flags/flag_values.h"

namespace dqueue::cmd {
namespace {

void WriteTime(std::string_view key, const std::optional<client::WallTime>& time,
               JsonWriter* json) {
  if (time) {
    json->Text(key, FormatTime(*time));
  } else {
    json->Null(key);
  }
}

void WriteMap(std::string_view key, const std::map<std::string, std::string>& map,
              JsonWriter* json) {
  json->BeginObject(key);
  for (const auto& [name, value] : map) json->Text(name, value);
  json->EndObject();
}

void WriteAttempt(const client::Attempt& attempt, JsonWriter* json) {
  json->BeginObject()
      .Signed("number", attempt.number)
      .Text("end", attempt.end)
      .Text("worker_id", attempt.worker_id);
  WriteTime("end_time", attempt.end_time, json);
  if (attempt.held) {
    json->Signed("held_ms", attempt.held->count());
  } else {
    json->Null("held_ms");
  }
  json->Text("error", attempt.error).EndObject();
}

void WriteNames(std::string_view key, const std::vector<std::string>& names, JsonWriter* json) {
  json->BeginArray(key);
  for (const std::string& name : names) json->Item(name);
  json->EndArray();
}

// "2 FAILED at 2026-01-02T03:04:05Z by w1 after 3s: connection refused".
std::string AttemptText(const client::Attempt& attempt) {
  std::string out =
      std::to_string(attempt.number) + " " + attempt.end + " at " + TimeText(attempt.end_time);
  if (!attempt.worker_id.empty()) out += " by " + attempt.worker_id;
  if (attempt.held) out += " after " + FormatDuration(*attempt.held);
  return attempt.error.empty() ? out : out + ": " + attempt.error;
}

// A payload or result, as in job files: `key` if it is JSON, else `key`_base64.
void WriteBytes(std::string_view key, const std::string& value, JsonWriter* json) {
  if (IsJson(value)) {
    json->Raw(key, value);
  } else {
    json->Text(std::string(key) + "_base64", Base64(value));
  }
}

}  // namespace

void WriteJob(const client::Job& job, JsonWriter* json, std::string_view key) {
  json->BeginObject(key)
      .Text("id", job.id)
      .Text("queue", job.queue)
      .Text("type", job.type)
      .Text("state", client::JobStateName(job.state));
  WriteBytes("payload", job.payload, json);
  json->Signed("priority", job.priority).Signed("max_retries", job.max_retries);
  WriteTime("create_time", job.create_time, json);
  WriteTime("run_time", job.run_time, json);
  WriteTime("expire_time", job.expire_time, json);
  WriteTime("finish_time", job.finish_time, json);
  json->Text("idempotency_key", job.idempotency_key).Text("ordering_key", job.ordering_key);
  WriteMap("headers", job.headers, json);
  WriteMap("labels", job.labels, json);
  json->Signed("delivered", job.delivered)
      .Signed("failed", job.failed)
      .Signed("expired", job.expired);
  WriteBytes("result", job.result, json);
  json->Text("last_error", job.last_error).Text("dead_reason", job.dead_reason);
  const bool leased = job.state == client::JobState::kLeased;
  if (leased) {
    json->Text("token", job.token.ToString())
        .Text("worker_id", job.worker_id)
        .Signed("lease_remaining_ms", job.lease_remaining.count());
  } else {
    json->Null("token").Null("worker_id").Null("lease_remaining_ms");
  }
  json->BeginArray("attempts");
  for (const client::Attempt& attempt : job.attempts) WriteAttempt(attempt, json);
  json->EndArray().EndObject();
}

void WriteStatus(const client::Status& status, JsonWriter* json) {
  json->Text("code", client::CodeName(status.code))
      .Text("reason", status.reason)
      .Text("message", status.message);
}

std::string TimeText(const std::optional<client::WallTime>& time) {
  return time ? FormatTime(*time) : "-";
}

void WriteQueue(const client::QueueStats& q, JsonWriter* json, std::string_view key) {
  json->BeginObject(key)
      .Text("queue", q.queue)
      .Unsigned("scheduled", q.scheduled)
      .Unsigned("ready", q.ready)
      .Unsigned("leased", q.leased)
      .Unsigned("succeeded", q.succeeded)
      .Unsigned("dead", q.dead)
      .Unsigned("cancelled", q.cancelled)
      .Unsigned("purged", q.purged)
      .Unsigned("enqueued", q.enqueued)
      .Unsigned("completions", q.completions)
      .Unsigned("failures", q.failures)
      .Unsigned("expirations", q.expirations)
      .Unsigned("deaths", q.deaths)
      .Unsigned("cancellations", q.cancellations)
      .Unsigned("retries", q.retries)
      .Signed("oldest_ready_age_ms", q.oldest_ready_age.count())
      .Bool("paused", q.paused)
      .Bool("refuses_enqueues", q.refuses_enqueues)
      .EndObject();
}

void WriteDeadGroup(const client::DeadGroup& group, JsonWriter* json, std::string_view key) {
  json->BeginObject(key)
      .Text("queue", group.queue)
      .Text("type", group.type)
      .Text("reason", group.reason)
      .Text("error_fingerprint", group.error_fingerprint)
      .Text("error", group.error)
      .Unsigned("jobs", group.jobs);
  WriteTime("first_time", group.first_time, json);
  WriteTime("last_time", group.last_time, json);
  WriteNames("sample_ids", group.sample_ids, json);
  json->EndObject();
}

void WriteWorker(const client::WorkerInfo& worker, JsonWriter* json, std::string_view key) {
  json->BeginObject(key).Text("id", worker.id).Text("host", worker.host);
  WriteTime("first_time", worker.first_time, json);
  WriteTime("last_time", worker.last_time, json);
  json->Bool("waiting", worker.waiting)
      .Signed("leased", worker.leased)
      .Unsigned("delivered", worker.delivered)
      .Unsigned("completed", worker.completed)
      .Unsigned("failed", worker.failed)
      .Unsigned("expired", worker.expired);
  WriteNames("queues", worker.queues, json);
  WriteNames("types", worker.types, json);
  json->EndObject();
}

void WriteApiKey(const client::ApiKey& key, JsonWriter* json) {
  json->Text("id", key.id).Text("name", key.name).Text("owner_id", key.owner_id);
  json->Text("type", client::KeyTypeName(key.type));
  WriteNames("scopes", key.scopes, json);
  WriteNames("queues", key.queues, json);
  WriteTime("create_time", key.create_time, json);
  WriteTime("revoke_time", key.revoke_time, json);
  WriteTime("last_use_time", key.last_use_time, json);
}

std::string JobText(const client::Job& job) {
  std::string out;
  const auto line = [&](const char* name, const std::string& value) {
    std::string label = std::string(name) + ":";
    label.resize(18, ' ');
    out += label + EscapedForText(value) + "\n";
  };
  const auto line_if = [&](const char* name, const std::string& value) {
    if (!value.empty()) line(name, value);
  };
  line("id", job.id);
  line("state", client::JobStateName(job.state));
  line("queue", job.queue);
  line("type", job.type);
  line("priority", std::to_string(job.priority));
  line("created", TimeText(job.create_time));
  line("run time", TimeText(job.run_time));
  if (job.expire_time) line("expires", TimeText(job.expire_time));
  if (job.finish_time) line("finished", TimeText(job.finish_time));
  line("attempts", std::to_string(job.delivered) + " delivered, " + std::to_string(job.failed) +
                       " failed, " + std::to_string(job.expired) + " expired, " +
                       std::to_string(job.max_retries) + " retries allowed");
  line_if("idempotency key", job.idempotency_key);
  line_if("ordering key", job.ordering_key);
  for (const auto& [name, value] : job.headers) line("header", name + "=" + value);
  for (const auto& [name, value] : job.labels) line("label", name + "=" + value);
  if (job.state == client::JobState::kLeased) {
    line("worker", job.worker_id);
    line("token", job.token.ToString());
    line("lease ends in", FormatDuration(job.lease_remaining));
  }
  for (const client::Attempt& attempt : job.attempts) line("attempt", AttemptText(attempt));
  line_if("last error", job.last_error);
  line_if("dead because", job.dead_reason);
  const auto bytes = [&](const char* name, const std::string& value) {
    if (value.empty()) return;
    line(name, IsUtf8(value) ? value : "base64 " + Base64(value));
  };
  bytes("payload", job.payload);
  bytes("result", job.result);
  return out;
}

}  // namespace dqueue::cmd
