// A cluster of dqueue processes on loopback, for dqueue-bench, dqueue-chaos and dqueue-hostile. The
// nodes are child processes that end when this process ends, even if it crashes. Use it from one
// thread, which must outlive the cluster: the kernel kills a child when the thread that started it
// ends.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/client.h"

namespace dqueue::cmd {

// A new directory below `parent`. The destructor removes it with its content, unless Keep() was
// called.
class TemporaryDirectory {
 public:
  static absl::StatusOr<std::unique_ptr<TemporaryDirectory>> Make(const std::string& parent);
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  void Keep() { keep_ = true; }
  const std::string& path() const { return path_; }

 private:
  explicit TemporaryDirectory(std::string path) : path_(std::move(path)) {}
  std::string path_;
  bool keep_ = false;
};

class LocalCluster {
 public:
  struct Options {
    int nodes = 3;
    std::string program{};             // path of dqueue
    std::string directory{};           // gets a directory and a log file for each node
    std::vector<std::string> flags{};  // further flags of each node
    bool http = false;                 // the nodes serve HTTP
    std::string api_key{};             // of the calls of this class; needs cluster:read
  };

  // Starts the nodes and waits up to 20 s for a leader. The nodes get this process's environment
  // without the variables that begin with DQUEUE_.
  static absl::StatusOr<std::unique_ptr<LocalCluster>> Start(const Options& options);
  ~LocalCluster();  // kills the nodes
  LocalCluster(const LocalCluster&) = delete;
  LocalCluster& operator=(const LocalCluster&) = delete;

  int size() const { return static_cast<int>(nodes_.size()); }
  std::vector<std::string> servers() const;
  // With Options::http: "127.0.0.1:PORT" of each node.
  std::vector<std::string> http_addresses() const;
  const std::string& name(int node) const { return nodes_[node].name; }
  bool running(int node) const { return nodes_[node].pid > 0; }

  // Sends SIGKILL to a running node and waits for its end.
  void Kill(int node);
  // Starts a killed node again; does not wait for it.
  absl::Status Restart(int node);
  // INTERNAL: a node ended that Kill() did not end. The message has the end of its log.
  absl::Status CheckAlive();

  // Returns the index of the leader. UNAVAILABLE: no leader within the limit. INTERNAL: as
  // CheckAlive().
  absl::StatusOr<int> FindLeader(std::chrono::milliseconds limit);
  // Waits until all nodes run, name the same leader and have applied the same index. Then compares
  // their digests. INTERNAL: the digests differ, or as CheckAlive(). DEADLINE_EXCEEDED: the nodes
  // did not agree within the limit.
  absl::Status WaitUntilEqual(std::chrono::milliseconds limit);

  // The most memory that a running node has had resident since its start; 0: unknown.
  uint64_t PeakMemoryBytes(int node) const;
  // CPU time of all nodes since Start(), killed nodes included.
  double CpuSeconds() const;

 private:
  struct Node {
    std::string name;
    std::string address;
    std::string http_address;
    std::vector<std::string> arguments;
    std::string log;
    pid_t pid = -1;
    std::unique_ptr<client::Client> client;  // talks to this node only
  };

  LocalCluster() = default;
  absl::Status Spawn(Node* node);
  void Reap(Node* node);

  std::vector<Node> nodes_;
  double ended_cpu_seconds_ = 0;
};

// CPU time of this process, in seconds.
double OwnCpuSeconds();

}  // namespace dqueue::cmd
