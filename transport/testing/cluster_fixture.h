// For tests: three whole nodes in one process: real threads, files and loopback connections.
#pragma once

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "dqueue/v1/service.grpc.pb.h"
#include "storage/files/file_system.h"
#include "transport/calls/rpc_error.h"
#include "transport/listeners/listen_socket.h"
#include "transport/testing/machine_fixture.h"

namespace dqueue::transport {

template <class Response>
struct Answered {
  grpc::Status status;
  Response response;
  std::string leader_address;
  std::string reason() const { return ReadRemoteError(status).reason; }
};

// Starts three nodes; a subclass may give them options.
class ClusterTest : public testing::Test {
 protected:
  static constexpr int kNodes = 3;

  void SetUp() override {
    directory_ = testing::TempDir() + "/dqueue_cluster_test_" + std::to_string(getpid());
    std::filesystem::remove_all(directory_);
    std::vector<node::MemberSpec> members;
    {
      std::vector<ListenSocket> held;  // so that each port is another
      for (int i = 0; i < kNodes; ++i) {
        absl::StatusOr<ListenSocket> socket = OpenListenSocket("127.0.0.1:0");
        ASSERT_TRUE(socket.ok());
        addresses_.push_back("127.0.0.1:" + std::to_string(socket->port));
        members.push_back({"n" + std::to_string(i + 1), addresses_.back()});
        held.push_back(*std::move(socket));
      }
    }
    for (int i = 0; i < kNodes; ++i) {
      const node::Options options =
          SmallNode(members[i].name, directory_ + "/" + members[i].name, members);
      std::filesystem::create_directories(options.data_dir);
      machines_.push_back(std::make_unique<Machine>(options, storage::PosixFileSystem()));
      channels_.push_back(grpc::CreateChannel(addresses_[i], grpc::InsecureChannelCredentials()));
    }
    for (int i = 0; i < kNodes; ++i) {
      machines_[i]->Start(addresses_[i], OptionsOf(i));
      ASSERT_FALSE(HasFatalFailure());
    }
    WaitForLeader();
  }
  virtual ServerOptions OptionsOf(int /*node*/) { return {}; }
  void TearDown() override {
    machines_.clear();
    std::filesystem::remove_all(directory_);
  }

  template <class Stub, class Request, class Response>
  Answered<Response> Call(
      int node, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
      const Request& request, std::chrono::milliseconds deadline = std::chrono::seconds(20)) {
    Stub stub(channels_[node]);
    grpc::ClientContext context;
    if (!key_.empty()) context.AddMetadata("authorization", "Bearer " + key_);
    context.set_deadline(std::chrono::system_clock::now() + deadline);
    context.set_wait_for_ready(true);
    Answered<Response> answer;
    answer.status = (stub.*method)(&context, request, &answer.response);
    const auto& metadata = context.GetServerInitialMetadata();
    const auto it = metadata.find("dqueue-leader-address");
    if (it != metadata.end()) {
      answer.leader_address = std::string(it->second.data(), it->second.size());
    }
    return answer;
  }
  v1::GetClusterResponse View(int node) {
    return Call(node, &v1::ClusterService::Stub::GetCluster, v1::GetClusterRequest()).response;
  }
  // All running nodes know the same leader. Returns its position.
  int WaitForLeader() {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (std::chrono::steady_clock::now() < end) {
      std::string leader;
      bool agreed = true;
      for (int i = 0; i < kNodes; ++i) {
        if (!machines_[i]->running()) continue;
        const std::string known = View(i).leader_id();
        if (leader.empty()) leader = known;
        agreed = agreed && !known.empty() && known == leader &&
                 machines_[i]->server().NotReadyReason().empty();
      }
      for (int i = 0; agreed && i < kNodes; ++i) {
        if (machines_[i]->name() == leader && machines_[i]->running()) return i;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    ADD_FAILURE() << "no leader within 30 s";
    return 0;
  }
  static v1::EnqueueJobsRequest Jobs(const std::string& prefix, int count) {
    v1::EnqueueJobsRequest request;
    for (int i = 0; i < count; ++i) {
      v1::JobSpec* job = request.add_jobs();
      job->set_id(prefix + std::to_string(i));
      job->set_payload("{}");
    }
    return request;
  }
  static v1::LeaseJobsRequest Lease(int count, int wait_s = 0) {
    v1::LeaseJobsRequest request;
    request.set_worker_id("w");
    request.set_max_jobs(count);
    request.mutable_wait()->set_seconds(wait_s);
    return request;
  }

  std::string key_;  // that Call() sends; empty: none
  std::string directory_;
  std::vector<std::string> addresses_;
  std::vector<std::unique_ptr<Machine>> machines_;
  std::vector<std::shared_ptr<grpc::Channel>> channels_;
};

}  // namespace dqueue::transport
