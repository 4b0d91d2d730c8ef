// What viewers of a node who may see the same are told, as server-sent events. While there are
// viewers, and only then, the hub asks for counters and for the cluster at each Tick(), with the
// key of one of them, and sends what has changed. An event is encoded once for all.
//
//   event: stats
//     {"whole", "time_ms", "applied_index", "total", "rates", "queues", "gone", "more"}
//   event: cluster
//     {"cluster", "problem", "auth", "read_only", "disk_free_bytes"}
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
#include "queue/api/key.h"
#include "transport/http/server/http_server.h"

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
  bool cluster = true;              // viewers may see the members and the disk
  std::function<int64_t()> now_ms;  // of a clock that never goes back; null: the machine's
};

struct EventViewer {
  HttpStream stream;
  Credentials credentials;
  std::function<bool()> still_allowed;  // asked at each Tick(); null: always. Must not wait.
};

// Every call from any thread.
class EventHub : public std::enable_shared_from_this<EventHub> {
 public:
  // `source` must live until Stop(). Those who are added must have keys to which it gives the same
  // answers.
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
  // As of the last answer; not set: none since there are viewers, or (rates) one only.
  std::optional<v1::QueueStats> total_;
  std::optional<Rates> rates_;
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
