// Server-sent events for viewers with the same rights. While there are viewers, each Tick()
// requests counters and cluster state with the key of one viewer, and changes are sent to all. Each
// event is encoded once.
//
//   event: stats
//     {"whole", "time_ms", "applied_index", "total", "rates", "queues", "gone", "more"}
//   event: cluster
//     {"cluster", "problem", "auth", "read_only", "disk_free_bytes"}
//
// A viewer's first stats event is whole: it has every queue. Later events have the queues that
// changed and the names of queues that are gone. So a viewer that reconnects misses nothing. The id
// of an event is the highest applied index known when the event was made.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "dqueue/v1/service.pb.h"
#include "grpcpp/support/status.h"
#include "queue/api/key.h"
#include "transport/http/server/http_server.h"

namespace dqueue::transport {

// The source of the data. Answers come later, from any thread, once or never.
class EventSource {
 public:
  virtual ~EventSource() = default;
  using Stats = std::function<void(const grpc::Status&, const v1::GetStatsResponse&)>;
  using Cluster = std::function<void(const grpc::Status&, const v1::GetClusterResponse&)>;
  using Disk = std::function<void(uint64_t free_bytes)>;
  // Both use the viewer's key: the answer contains only what that key may see.
  virtual void AskStats(const Credentials& viewer, Stats done) = 0;
  virtual void AskCluster(const Credentials& viewer, Cluster done) = 0;
  virtual void AskDisk(Disk done) = 0;
};

struct EventOptions {
  bool keys_needed = false;  // "auth" of a cluster event: "on"
  bool read_only = false;
  bool cluster = true;              // viewers may see the members and the disk
  std::function<int64_t()> now_ms;  // a monotonic clock; null: steady_clock
};

struct EventViewer {
  HttpStream stream;
  Credentials credentials;
  std::function<bool()> still_allowed;  // called at each Tick(); null: always. Must not block.
};

// Thread-safe.
class EventHub : public std::enable_shared_from_this<EventHub> {
 public:
  // `source` must live until Stop(). All viewers must have keys with the same rights.
  static std::shared_ptr<EventHub> Create(EventSource* source, EventOptions options);

  void Add(EventViewer viewer);
  // To be called once a second.
  void Tick();
  // Ends the streams. Nothing is requested afterwards.
  void Stop();
  size_t viewers() const;

 private:
  struct Rates {
    double enqueued = 0, completed = 0, failed = 0;  // a second
    bool operator==(const Rates&) const = default;
  };
  struct Watching {
    EventViewer viewer;
    bool began = false;  // has had an event
    bool whole = false;  // has had every queue
    bool cluster = false;
  };
  // A queue as sent last.
  struct Known {
    v1::QueueStats stats;  // without the age, which always changes
    int64_t ready_since_ms = 0;
  };
  enum class Encoded { kChanges, kWhole };

  EventHub(EventSource* source, EventOptions options);
  void Ask();
  void OnStats(const grpc::Status& status, const v1::GetStatsResponse& stats);
  void OnCluster(const grpc::Status& status, const v1::GetClusterResponse& cluster);
  void OnDisk(uint64_t free_bytes);

  // Requires mutex_.
  bool Learn(const v1::GetStatsResponse& stats);
  // `changed`: viewers that are up to date need an event, too.
  void Publish(bool changed);
  void PublishCluster();
  void TellCluster(Watching* watching) const;
  void Write(Watching* watching, const std::string& event) const;
  std::string StatsEvent(Encoded what) const;
  std::string ClusterData() const;
  std::string Event(const char* name, const std::string& data) const;
  std::string ShownQueue(const Known& known) const;

  const EventOptions options_;
  mutable std::mutex mutex_;
  EventSource* source_;  // null: stopped
  std::vector<Watching> watching_;

  bool asking_stats_ = false;
  bool asking_cluster_ = false;
  int ticks_ = 0;
  int64_t heartbeat_ms_ = 0;  // when the last heartbeat was sent; 0: not yet
  uint64_t index_ = 0;
  int64_t stats_ms_ = 0;  // of the last answer
  // From the last answer. Not set: no answer since the first viewer came, or (rates) only one.
  std::optional<v1::QueueStats> total_;
  std::optional<Rates> rates_;
  std::map<std::string, Known> queues_;
  std::string next_page_token_;       // of /stats, for the queues that are not in the events
  std::vector<std::string> changed_;  // by the last answer
  std::vector<std::string> gone_;
  std::string problem_;       // as JSON; empty: none
  std::string cluster_;       // as JSON; empty: not known
  std::string cluster_told_;  // the last cluster event
  std::optional<uint64_t> disk_free_bytes_;
};

}  // namespace dqueue::transport
