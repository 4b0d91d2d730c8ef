// Real nodes as child processes on loopback, in a temporary directory: for measuring and for
// breaking things. They end with the process that started them, whatever happens to it. One thread
// (which must live as long as the cluster): the kernel ties a child's life to the thread that made
// it.
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

// A directory of its own below `parent`, which is removed with all in it unless it is kept.
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

// The program called `name` that lies beside the one that runs.
std::string SiblingProgram(const std::string& name);

class LocalCluster {
 public:
  struct Options {
    int nodes = 3;
    std::string program{};    // path of dqueue
    std::string directory{};  // gets a directory and a log file for each node
  };

  // Returns when there is a leader.
  static absl::StatusOr<std::unique_ptr<LocalCluster>> Start(const Options& options);
  ~LocalCluster();  // kills
  LocalCluster(const LocalCluster&) = delete;
  LocalCluster& operator=(const LocalCluster&) = delete;

  int size() const { return static_cast<int>(nodes_.size()); }
  std::vector<std::string> servers() const;
  const std::string& name(int node) const { return nodes_[node].name; }
  bool running(int node) const { return nodes_[node].pid > 0; }

  // kill -9; returns when the process is gone.
  void Kill(int node);
  absl::Status Restart(int node);
  // Says if a node has ended that was not killed here, and what it wrote last.
  absl::Status CheckAlive();

  // The node that leads. UNAVAILABLE: there was none before the limit.
  absl::StatusOr<int> FindLeader(std::chrono::milliseconds limit);
  // Until every node runs, agrees on the leader and has applied the same index; then their digests
  // are compared. INTERNAL: they differ. DEADLINE_EXCEEDED: no such moment before the limit.
  absl::Status WaitUntilEqual(std::chrono::milliseconds limit);

  // Of all nodes since the start, those that were killed included.
  double CpuSeconds() const;

 private:
  struct Node {
    std::string name;
    std::string address;
    std::vector<std::string> arguments;
    std::string log;
    pid_t pid = -1;
    std::unique_ptr<client::Client> client;  // talks to this node only
  };

  LocalCluster() = default;
  absl::Status Spawn(Node* node);
  void Reap(Node* node);

  std::vector<Node> nodes_;
  double cpu_of_the_dead_ = 0;
};

// CPU time used by this process.
double OwnCpuSeconds();

}  // namespace dqueue::cmd
