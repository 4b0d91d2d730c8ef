// For tests: a whole node with real threads, files and connections on loopback.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "node/runner.h"
#include "transport/peers/peer_links.h"
#include "transport/server/server.h"

namespace dqueue::transport {

// A node, assembled as in cmd/dqueue/node_process.cc.
class Machine {
 public:
  Machine(node::Options options, storage::FileSystem& files)
      : options_(std::move(options)), files_(files) {}
  ~Machine() { Stop(); }

  const std::string& name() const { return options_.name; }
  const std::string& directory() const { return options_.data_dir; }
  bool running() const { return server_ != nullptr; }

  void Start(const std::string& listen, ServerOptions options = {}) {
    links_ = PeerLinks::Create(options_.name);
    auto runner = node::NodeRunner::Start(options_, files_, links_.get());
    ASSERT_TRUE(runner.ok()) << runner.status();
    runner_ = *std::move(runner);
    links_->Attach(&runner_->node());
    options.listen = listen;
    options.node_name = options_.name;
    auto server = Server::Start(options, &runner_->node());
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  // Stops without a handover: connections break.
  void Stop() {
    if (links_) links_->Stop();
    server_.reset();
    runner_.reset();
    links_.reset();
  }
  void Drain() { runner_->Drain(std::chrono::seconds(10)); }
  Server& server() { return *server_; }

 private:
  const node::Options options_;
  storage::FileSystem& files_;
  std::unique_ptr<PeerLinks> links_;
  std::unique_ptr<node::NodeRunner> runner_;
  std::unique_ptr<Server> server_;
};

// Options with small sizes, for tests.
inline node::Options SmallNode(const std::string& name, const std::string& data_dir,
                               const std::vector<node::MemberSpec>& members) {
  node::Options options;
  options.name = name;
  options.data_dir = data_dir;
  options.members = members;
  options.bootstrap = true;
  options.log.segment_bytes = 8 << 20;
  options.log.max_entry_bytes = 5 << 20;
  options.log.prepared_segments = 1;
  options.reserve_bytes = 1 << 20;
  return options;
}

// A cluster of one node, in a fresh directory that is removed at the end.
class LoneMachine : public Machine {
 public:
  // `name`: of the directory.
  explicit LoneMachine(const std::string& name)
      : Machine(SmallNode("n1", FreshDirectory(name), {}), storage::PosixFileSystem()) {}
  ~LoneMachine() {
    Stop();
    std::filesystem::remove_all(directory());
  }

 private:
  static std::string FreshDirectory(const std::string& name) {
    const std::string path = testing::TempDir() + "/" + name + "_" + std::to_string(getpid());
    std::filesystem::remove_all(path);
    std::filesystem::create_directories(path);
    return path;
  }
};

}  // namespace dqueue::transport
