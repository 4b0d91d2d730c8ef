#include "transport/http/routes/event_hub.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "transport/http/message/error_response.h"
#include "transport/http/message/json_text.h"
#include "transport/http/routes/job_json.h"
#include "transport/http/routes/rpc_bridge.h"
#include "transport/http/routes/v1_json.h"

namespace dqueue::transport {
namespace {

using google::protobuf::util::TimeUtil;

constexpr int64_t kHeartbeatMs = 15'000;
constexpr char kHeartbeat[] = ": still here\n\n";
// The pause of a client before it reconnects.
constexpr char kRetry[] = "retry: 1000\n\n";
// An older answer is not sent to a new viewer.
constexpr int64_t kFreshMs = 2'500;
// The age of the oldest ready job is compared as a point in time. Smaller moves are clock noise.
constexpr int64_t kSameSinceMs = 1'500;
// Free disk space is requested every kDiskTicks ticks: the answer costs the node a walk over its
// queues.
constexpr int kDiskTicks = 10;
constexpr double kMsPerSecond = 1000.0;

int64_t SteadyMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

int64_t UnixMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// The rate per second, rounded to a tenth.
double PerSecond(uint64_t before, uint64_t now, int64_t ms) {
  if (now <= before || ms <= 0) return 0;
  const double exact = static_cast<double>(now - before) * kMsPerSecond / static_cast<double>(ms);
  return static_cast<double>(static_cast<int64_t>(exact * 10 + 0.5)) / 10;
}

std::string Number(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f", value);
  return text;
}

std::string WithoutAge(v1::QueueStats stats) {
  stats.clear_oldest_ready_age();
  return stats.SerializeAsString();
}

}  // namespace

std::shared_ptr<EventHub> EventHub::Create(EventSource* source, EventOptions options) {
  if (!options.now_ms) options.now_ms = SteadyMs;
  return std::shared_ptr<EventHub>(new EventHub(source, std::move(options)));
}

EventHub::EventHub(EventSource* source, EventOptions options)
    : options_(std::move(options)), source_(source) {}

void EventHub::Add(EventViewer viewer) {
  {
    const std::lock_guard lock(mutex_);
    if (source_ == nullptr) return;
    Watching& watching = watching_.emplace_back(Watching{std::move(viewer)});
    if (total_ && options_.now_ms() - stats_ms_ < kFreshMs) {
      Write(&watching, StatsEvent(Encoded::kWhole));
      watching.whole = true;
    }
    if (!cluster_told_.empty()) TellCluster(&watching);
    if (watching.whole) return;
  }
  Ask();
}

void EventHub::Tick() {
  {
    const std::lock_guard lock(mutex_);
    if (source_ == nullptr) return;
    std::erase_if(watching_, [](const Watching& watching) {
      const EventViewer& viewer = watching.viewer;
      if (viewer.stream.gone()) return true;
      if (!viewer.still_allowed || viewer.still_allowed()) return false;
      viewer.stream.End();
      return true;
    });
    const int64_t now = options_.now_ms();
    if (watching_.empty()) {
      // Without viewers the data is not refreshed.
      heartbeat_ms_ = 0;
      total_.reset();
      rates_.reset();
      queues_.clear();
      cluster_told_.clear();
      disk_free_bytes_.reset();
      ticks_ = 0;
      return;
    }
    if (heartbeat_ms_ == 0) heartbeat_ms_ = now;
    if (now - heartbeat_ms_ >= kHeartbeatMs) {
      heartbeat_ms_ = now;
      const auto chunk = std::make_shared<const std::string>(kHeartbeat);
      for (const Watching& watching : watching_) watching.viewer.stream.Write(chunk);
    }
  }
  Ask();
}

void EventHub::Stop() {
  const std::lock_guard lock(mutex_);
  source_ = nullptr;
  for (const Watching& watching : watching_) watching.viewer.stream.End();
  watching_.clear();
}

size_t EventHub::viewers() const {
  const std::lock_guard lock(mutex_);
  return watching_.size();
}

void EventHub::Ask() {
  EventSource* source = nullptr;
  bool stats = false;
  bool cluster = false;
  bool disk = false;
  Credentials viewer;
  {
    const std::lock_guard lock(mutex_);
    source = source_;
    if (source == nullptr || watching_.empty()) return;
    viewer = watching_.front().viewer.credentials;
    stats = !std::exchange(asking_stats_, true);
    if (options_.cluster) {
      cluster = !std::exchange(asking_cluster_, true);
      disk = ticks_++ % kDiskTicks == 0;
    }
  }
  const std::weak_ptr<EventHub> weak = weak_from_this();
  if (cluster) {
    source->AskCluster(viewer,
                       [weak](const grpc::Status& status, const v1::GetClusterResponse& answer) {
                         if (const auto self = weak.lock()) self->OnCluster(status, answer);
                       });
  }
  if (stats) {
    source->AskStats(viewer,
                     [weak](const grpc::Status& status, const v1::GetStatsResponse& answer) {
                       if (const auto self = weak.lock()) self->OnStats(status, answer);
                     });
  }
  if (disk) {
    source->AskDisk([weak](uint64_t free_bytes) {
      if (const auto self = weak.lock()) self->OnDisk(free_bytes);
    });
  }
}

void EventHub::OnStats(const grpc::Status& status, const v1::GetStatsResponse& stats) {
  const std::lock_guard lock(mutex_);
  asking_stats_ = false;
  if (watching_.empty()) return;
  if (!status.ok()) {
    problem_ = ErrorResponse(status).body;
    problem_.pop_back();  // the newline
    return PublishCluster();
  }
  const bool recovered = !std::exchange(problem_, "").empty();
  // Viewers without rights on the cluster get the rest with the first answer.
  if (recovered || !options_.cluster) PublishCluster();
  const int64_t before_ms = std::exchange(stats_ms_, options_.now_ms());
  const bool learned = Learn(stats);
  const v1::QueueStats& total = stats.total();
  std::optional<Rates> rates;
  if (total_) {
    const int64_t ms = stats_ms_ - before_ms;
    rates = Rates{PerSecond(total_->enqueued(), total.enqueued(), ms),
                  PerSecond(total_->completions(), total.completions(), ms),
                  PerSecond(total_->failures() + total_->expirations(),
                            total.failures() + total.expirations(), ms)};
  }
  const bool same =
      !learned && total_ && rates == rates_ && WithoutAge(*total_) == WithoutAge(total);
  total_ = total;
  rates_ = rates;
  Publish(!same);
}

bool EventHub::Learn(const v1::GetStatsResponse& stats) {
  index_ = std::max(index_, stats.applied_index());
  changed_.clear();
  gone_.clear();
  next_page_token_ = stats.next_page_token();
  std::map<std::string, Known> queues;
  for (const v1::QueueStats& queue : stats.queues()) {
    const int64_t age_ms = TimeUtil::DurationToMilliseconds(queue.oldest_ready_age());
    Known known{queue, age_ms > 0 ? stats_ms_ - age_ms : 0};
    known.stats.clear_oldest_ready_age();
    const auto before = queues_.find(queue.queue());
    const bool same =
        before != queues_.end() &&
        (before->second.ready_since_ms == 0) == (known.ready_since_ms == 0) &&
        std::abs(before->second.ready_since_ms - known.ready_since_ms) < kSameSinceMs &&
        before->second.stats.SerializeAsString() == known.stats.SerializeAsString();
    if (!same) changed_.push_back(queue.queue());
    queues.emplace(queue.queue(), same ? before->second : std::move(known));
  }
  for (const auto& [name, known] : queues_) {
    if (!queues.contains(name)) gone_.push_back(name);
  }
  queues_.swap(queues);
  return !changed_.empty() || !gone_.empty();
}

void EventHub::Publish(bool changed) {
  HttpChunk changes;
  std::string whole;
  for (Watching& watching : watching_) {
    if (watching.whole) {
      if (!changed) continue;
      if (changes == nullptr) {
        changes = std::make_shared<const std::string>(StatsEvent(Encoded::kChanges));
      }
      watching.viewer.stream.Write(changes);
    } else {
      if (whole.empty()) whole = StatsEvent(Encoded::kWhole);
      Write(&watching, whole);
      watching.whole = true;
    }
  }
}

void EventHub::OnCluster(const grpc::Status& status, const v1::GetClusterResponse& cluster) {
  const std::lock_guard lock(mutex_);
  asking_cluster_ = false;
  if (watching_.empty()) return;
  cluster_ = status.ok() ? MessageJson(cluster).value_or("") : "";
  if (status.ok()) index_ = std::max(index_, cluster.applied_index());
  PublishCluster();
}

void EventHub::OnDisk(uint64_t free_bytes) {
  const std::lock_guard lock(mutex_);
  disk_free_bytes_ = free_bytes;
}

void EventHub::PublishCluster() {
  const std::string now = ClusterData();
  const bool changed = std::exchange(cluster_told_, now) != now;
  HttpChunk chunk;
  for (Watching& watching : watching_) {
    if (!watching.cluster) {
      TellCluster(&watching);
    } else if (changed) {
      if (chunk == nullptr) chunk = std::make_shared<const std::string>(Event("cluster", now));
      watching.viewer.stream.Write(chunk);
    }
  }
}

void EventHub::TellCluster(Watching* watching) const {
  watching->cluster = true;
  Write(watching, Event("cluster", cluster_told_));
}

void EventHub::Write(Watching* watching, const std::string& event) const {
  const bool began = std::exchange(watching->began, true);
  watching->viewer.stream.Write(
      std::make_shared<const std::string>(began ? event : kRetry + event));
}

std::string EventHub::ShownQueue(const Known& known) const {
  v1::QueueStats stats = known.stats;
  if (known.ready_since_ms > 0) {
    *stats.mutable_oldest_ready_age() =
        TimeUtil::MillisecondsToDuration(std::max<int64_t>(0, stats_ms_ - known.ready_since_ms));
  }
  return QueueJson(stats);
}

std::string EventHub::StatsEvent(Encoded what) const {
  JsonObject queues;
  std::string gone;
  const auto add = [&](const std::string& name) { queues.Raw(name, ShownQueue(queues_.at(name))); };
  if (what == Encoded::kWhole) {
    for (const auto& [name, known] : queues_) add(name);
  } else {
    for (const std::string& name : changed_) add(name);
    for (const std::string& name : gone_) {
      gone += (gone.empty() ? "" : ",") + JsonQuoted(name);
    }
  }
  std::string rates = "null";
  if (rates_) {
    rates = JsonObject()
                .Raw("enqueued", Number(rates_->enqueued))
                .Raw("completed", Number(rates_->completed))
                .Raw("failed", Number(rates_->failed))
                .Finish();
  }
  return Event("stats", JsonObject()
                            .Raw("whole", what == Encoded::kWhole ? "true" : "false")
                            .Integer("time_ms", UnixMs())
                            .Unsigned("applied_index", index_)
                            .Raw("total", QueueJson(*total_))
                            .Raw("rates", rates)
                            .Raw("queues", queues.Finish())
                            .Raw("gone", "[" + gone + "]")
                            .Raw("more", next_page_token_.empty() ? "false" : "true")
                            .Text("next_page_token", next_page_token_)
                            .Finish());
}

std::string EventHub::ClusterData() const {
  JsonObject json;
  json.Raw("cluster", cluster_.empty() ? "null" : cluster_)
      .Raw("problem", problem_.empty() ? "null" : problem_)
      .Text("auth", options_.keys_needed ? "on" : "off")
      .Raw("read_only", options_.read_only ? "true" : "false");
  if (disk_free_bytes_) {
    json.Unsigned("disk_free_bytes", *disk_free_bytes_);
  } else {
    json.Null("disk_free_bytes");
  }
  return json.Finish();
}

std::string EventHub::Event(const char* name, const std::string& data) const {
  // No index is known yet: no id, so a client that reconnects sends none.
  const std::string id = index_ == 0 ? "" : "id: " + std::to_string(index_) + "\n";
  return std::string("event: ") + name + "\n" + id + "data: " + data + "\n\n";
}

}  // namespace dqueue::transport
