// What the viewers of a node are told, as server-sent events. While there are viewers, and only
// then, the hub asks for counters and for the cluster at each Tick(), and sends what has changed.
// An event is encoded once for all viewers that may see the same. The hub asks with the key of one
// of its viewers: so viewers who may see different things belong to different hubs.
//
//   event: stats    {"whole", "time_ms", "applied_index", "total", "rates", "queues", "gone",
//   "more"} event: cluster  {"cluster", "problem", "auth", "read_only", "disk_free_bytes"}
//
// A viewer's first stats event is whole: it has every queue. Later ones have those that changed,
// and the names of those that are gone. So whoever connects again has missed nothing, whatever it
// saw before; the id of an event is the highest applied index known when it was made.
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
#include "queue/key.h"
#include "transport/http/http_server.h"

namespace dqueue::transport {

// Where the hub asks. Answers come later, from any thread, each once or never.
class EventSource {
 public:
  virtual ~EventSource() = default;
  using Stats = std::function<void(const grpc::Status&, const v1::GetStatsResponse&)>;
  using Cluster = std::function<void(const grpc::Status&, const v1::GetClusterResponse&)>;
  using Disk = std::function<void(uint64_t free_bytes)>;
  // Both for a viewer: what its key may not see is not in the answer.
  virtual void AskStats(const Credentials& viewer, Stats done) = 0;
  virtual void AskCluster(const Credentials& viewer, Cluster done) = 0;
  virtual void AskDisk(Disk done) = 0;
};

struct EventOptions {
  bool keys_needed = false;  // "auth" of a cluster event: "on"
  bool read_only = false;
  std::function<int64_t()> now_ms;  // of a clock that never goes back; null: the machine's
};

struct EventViewer {
  HttpStream stream;
  Credentials credentials;
  queue::QueueAccessPtr queues;         // null: all
  bool cluster = true;                  // may see members and indexes
  std::function<bool()> still_allowed;  // asked at each Tick(); null: always. Must not wait.
};

// Every call from any thread.
class EventHub : public std::enable_shared_from_this<EventHub> {
 public:
  // `source` must live until Stop().
  static std::shared_ptr<EventHub> Create(EventSource* source, EventOptions options);

  void Add(EventViewer viewer);
  // Once a second.
  void Tick();
  // Streams end, and nothing is asked any more.
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
  // Those who may see the same.
  struct Group {
    queue::QueueAccessPtr queues;
    bool cluster = true;
    std::vector<Watching> watching;
    // As of the last answer; not set: none yet.
    std::optional<v1::QueueStats> total;
    std::optional<Rates> rates;
  };
  // A queue as it was told last.
  struct Known {
    v1::QueueStats stats;  // without the age, which changes all the time
    int64_t ready_since_ms = 0;
  };
  enum class Encoded { kChanges, kWhole };

  EventHub(EventSource* source, EventOptions options);
  void Ask();
  void OnStats(const grpc::Status& status, const v1::GetStatsResponse& stats);
  void OnCluster(const grpc::Status& status, const v1::GetClusterResponse& cluster);
  void OnDisk(uint64_t free_bytes);

  // With the lock held.
  bool Learn(const v1::GetStatsResponse& stats);
  // `changed`: there is something new to those who have seen all so far.
  void Publish(Group* group, bool changed);
  void PublishCluster();
  void TellCluster(const Group& group, Watching* watching) const;
  void Write(Watching* watching, const std::string& event) const;
  v1::QueueStats TotalOf(const Group& group, const v1::GetStatsResponse& stats) const;
  std::string StatsEvent(const Group& group, Encoded what) const;
  std::string ClusterEvent(bool members) const;
  std::string Event(const char* name, const std::string& data) const;
  std::string ShownQueue(const Known& known) const;

  const EventOptions options_;
  mutable std::mutex mutex_;
  EventSource* source_;  // null: stopped
  std::map<std::string, Group> groups_;

  bool asking_stats_ = false;
  bool asking_cluster_ = false;
  int ticks_ = 0;
  int64_t heartbeat_ms_ = 0;  // when the last heartbeat was sent; 0: not yet
  uint64_t index_ = 0;
  int64_t stats_ms_ = 0;  // of the last answer; 0: none since there are viewers
  int64_t stats_before_ms_ = 0;
  std::map<std::string, Known> queues_;
  bool more_ = false;
  std::vector<std::string> changed_;  // by the last answer
  std::vector<std::string> gone_;
  std::string problem_;       // as JSON; empty: none
  std::string cluster_;       // as JSON; empty: not known
  std::string cluster_told_;  // what the last cluster event said
  std::optional<uint64_t> disk_free_bytes_;
};

}  // namespace dqueue::transport
