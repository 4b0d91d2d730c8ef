#include "transport/http/routes/job_json.h"

#include <cstdio>

#include "google/protobuf/util/time_util.h"
#include "transport/http/message/json_text.h"

namespace dqueue::transport {
namespace {

using google::protobuf::Timestamp;
using google::protobuf::util::TimeUtil;

constexpr int kTokenDigits = 16;
constexpr int kTokenChars = 3 * kTokenDigits + 2;

bool Finished(const v1::Job& job) {
  return job.state() == v1::JOB_STATE_SUCCEEDED || job.state() == v1::JOB_STATE_DEAD ||
         job.state() == v1::JOB_STATE_CANCELLED;
}

bool WaitsAgain(const v1::Job& job) {
  return job.state() == v1::JOB_STATE_SCHEDULED && job.counters().delivered() > 0;
}

void AddTime(const char* name, bool has, const Timestamp& time, JsonObject* json) {
  if (has) {
    json->Text(name, TimeUtil::ToString(time));
  } else {
    json->Null(name);
  }
}

void AddTextOrNull(const char* name, const std::string& text, JsonObject* json) {
  if (text.empty()) {
    json->Null(name);
  } else {
    json->Text(name, text);
  }
}

void AddLease(const v1::Job& job, std::chrono::system_clock::time_point now, JsonObject* json) {
  if (!job.has_lease()) {
    json->Null("lease_until").Null("worker_id").Null("lease_token");
    return;
  }
  const int64_t now_ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count();
  const int64_t until_ms = now_ms + TimeUtil::DurationToMilliseconds(job.lease().remaining());
  json->Text("lease_until", TimeUtil::ToString(TimeUtil::MillisecondsToTimestamp(until_ms)))
      .Text("worker_id", job.lease().worker_id())
      .Text("lease_token", TokenText(job.lease().token()));
}

// The last of the recorded times: creation, ends of attempts, end of the job.
const Timestamp& LastChange(const v1::Job& job) {
  if (Finished(job)) return job.finish_time();
  return job.attempts().empty() ? job.create_time() : job.attempts().rbegin()->end_time();
}

}  // namespace

const char* StateWord(const v1::Job& job) {
  switch (job.state()) {
    case v1::JOB_STATE_SCHEDULED:
      return WaitsAgain(job) ? "RETRY" : "READY";
    case v1::JOB_STATE_READY:
      return "READY";
    case v1::JOB_STATE_LEASED:
      return "RUNNING";
    case v1::JOB_STATE_SUCCEEDED:
      return "ACKED";
    case v1::JOB_STATE_DEAD:
      return "DEAD";
    case v1::JOB_STATE_CANCELLED:
      return "CANCELLED";
    default:
      return "UNKNOWN";
  }
}

const char* StatusWord(const v1::Job& job) {
  switch (job.state()) {
    case v1::JOB_STATE_SCHEDULED:
      return WaitsAgain(job) ? "failed" : "pending";
    case v1::JOB_STATE_READY:
      return "pending";
    case v1::JOB_STATE_LEASED:
      return "processing";
    case v1::JOB_STATE_SUCCEEDED:
      return "done";
    case v1::JOB_STATE_DEAD:
      return "dlq";
    case v1::JOB_STATE_CANCELLED:
      return "cancelled";
    default:
      return "unknown";
  }
}

std::string JobJson(const v1::Job& job, std::chrono::system_clock::time_point now) {
  // The log counts an attempt when its lease ends.
  const int attempts = job.counters().delivered() + (job.state() == v1::JOB_STATE_LEASED ? 1 : 0);
  const bool succeeded = job.state() == v1::JOB_STATE_SUCCEEDED;
  JsonObject json;
  json.Text("job_id", job.id())
      .Text("id", job.id())
      .Text("type", job.type())
      .Text("queue", job.queue())
      .Integer("priority", job.priority());
  AddJsonBytes("payload", job.payload(), &json);
  json.Text("status", StatusWord(job))
      .Text("state", StateWord(job))
      .Integer("retries", job.counters().failed() + job.counters().expired())
      .Integer("attempts", attempts)
      .Integer("attempt", attempts)
      .Integer("max_retries", job.retry().max_retries());
  AddTextOrNull("error", job.last_error(), &json);
  AddTime("created_at", job.has_create_time(), job.create_time(), &json);
  AddTime("updated_at", true, LastChange(job), &json);
  AddTime("run_at", job.has_run_time(), job.run_time(), &json);
  AddLease(job, now, &json);
  if (succeeded) {
    AddJsonBytes("result", job.result(), &json);
  } else {
    json.Null("result");
  }
  AddTextOrNull("result_error", succeeded ? std::string() : job.last_error(), &json);
  return json.Finish();
}

std::string QueueJson(const v1::QueueStats& stats) {
  return JsonObject()
      .Unsigned("scheduled", stats.scheduled())
      .Unsigned("ready", stats.ready())
      .Unsigned("leased", stats.leased())
      .Unsigned("succeeded", stats.succeeded())
      .Unsigned("dead", stats.dead())
      .Unsigned("cancelled", stats.cancelled())
      .Unsigned("runnable", stats.ready())
      .Unsigned("running", stats.leased())
      .Unsigned("enqueued", stats.enqueued())
      .Unsigned("purged", stats.purged())
      .Unsigned("completions", stats.completions())
      .Unsigned("failures", stats.failures())
      .Unsigned("expirations", stats.expirations())
      .Unsigned("deaths", stats.deaths())
      .Unsigned("cancellations", stats.cancellations())
      .Unsigned("retries", stats.retries())
      .Integer("oldest_ready_age_ms", TimeUtil::DurationToMilliseconds(stats.oldest_ready_age()))
      .Raw("paused", stats.paused() ? "true" : "false")
      .Raw("refuses_enqueues", stats.refuses_enqueues() ? "true" : "false")
      .Finish();
}

std::string StatsJson(const v1::GetStatsResponse& stats) {
  JsonObject queues;
  for (const v1::QueueStats& queue : stats.queues()) queues.Raw(queue.queue(), QueueJson(queue));
  return JsonObject()
      .Raw("total", QueueJson(stats.total()))
      .Raw("queues", queues.Finish())
      .Unsigned("applied_index", stats.applied_index())
      .Text("next_page_token", stats.next_page_token())
      .Integer("total_size", stats.total_size())
      .Finish();
}

std::string TokenText(const v1::LeaseToken& token) {
  char text[kTokenChars + 1];
  std::snprintf(text, sizeof(text), "%016llx-%016llx-%016llx",
                static_cast<unsigned long long>(token.term()),
                static_cast<unsigned long long>(token.sequence()),
                static_cast<unsigned long long>(token.job()));
  return text;
}

std::optional<v1::LeaseToken> ParseToken(const std::string& text) {
  if (text.size() != kTokenChars) return std::nullopt;
  uint64_t parts[3] = {};
  for (int i = 0; i < kTokenChars; ++i) {
    const int part = i / (kTokenDigits + 1);
    const char c = text[i];
    if (i % (kTokenDigits + 1) == kTokenDigits) {
      if (c != '-') return std::nullopt;
    } else if (c >= '0' && c <= '9') {
      parts[part] = parts[part] << 4 | static_cast<uint64_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      parts[part] = parts[part] << 4 | static_cast<uint64_t>(c - 'a' + 10);
    } else {
      return std::nullopt;
    }
  }
  v1::LeaseToken token;
  token.set_term(parts[0]);
  token.set_sequence(parts[1]);
  token.set_job(parts[2]);
  return token;
}

}  // namespace dqueue::transport
