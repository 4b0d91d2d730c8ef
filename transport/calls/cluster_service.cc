#include "dqueue/v1/service.grpc.pb.h"
#include "transport/calls/rpc_error.h"
#include "transport/calls/rpc_methods.h"
#include "transport/calls/services.h"
#include "transport/calls/unary_call.h"
#include "transport/keys/credentials.h"

namespace dqueue::transport {
namespace {

void AppendHex(uint64_t value, std::string* out) {
  constexpr char kDigits[] = "0123456789abcdef";
  for (int shift = 60; shift >= 0; shift -= 4) *out += kDigits[(value >> shift) & 15];
}

void Fill(const node::NodeView& view, v1::GetClusterResponse* response) {
  AppendHex(view.cluster.hi, response->mutable_cluster_id());
  AppendHex(view.cluster.lo, response->mutable_cluster_id());
  response->set_node_id(view.name);
  response->set_role(view.excluded.empty() ? raft::RoleName(view.raft.status.role) : "excluded");
  response->set_leader_id(view.leader_name);
  response->set_leader_address(view.leader_address);
  response->set_term(view.raft.status.term.value());
  response->set_commit_index(view.raft.commit.value());
  response->set_applied_index(view.applied_index);
  response->set_last_index(view.raft.last_index.value());
  response->set_snapshot_index(view.snapshot_index);
  response->set_state_digest(view.digest);
  response->set_version(DQUEUE_VERSION);
  for (const raft::NodeId id : view.raft.config.MemberIds()) {
    const raft::Member* member = view.raft.config.Find(id);
    auto* out = response->add_members();
    out->set_id(member->name);
    out->set_address(member->address);
    out->set_voter(view.raft.config.IsVoter(id));
    out->set_leader(id == view.raft.status.leader);
    // A node always reaches itself; the leader's own match is the end of its log.
    if (member->name == view.name) {
      out->set_reachable(true);
      if (view.raft.status.role == raft::Role::kLeader) {
        out->set_match_index(view.raft.durable_index.value());
      }
    }
  }
  for (const raft::MemberView& known : view.raft.members) {
    const raft::Member* member = view.raft.config.Find(known.id);
    if (member == nullptr) continue;
    for (auto& out : *response->mutable_members()) {
      if (out.id() != member->name || out.id() == view.name) continue;
      out.set_match_index(known.match.value());
      out.set_reachable(known.reachable);
    }
  }
}

// Removes the addresses, which belong to the peers' port.
void ClearAddresses(v1::GetClusterResponse* response) {
  response->clear_leader_address();
  for (auto& member : *response->mutable_members()) member.clear_address();
}

// The node answers on its loop. By then the caller may be gone, or the server stopped.
class GetClusterCall final : public grpc::ServerUnaryReactor,
                             public std::enable_shared_from_this<GetClusterCall> {
 public:
  GetClusterCall(const CallEntry& entry, v1::GetClusterResponse* response)
      : entry_(entry), response_(response) {}

  void Begin(const grpc::CallbackServerContext& context) {
    self_ = shared_from_this();
    if (const auto refused = entry_.Refuse(context, false)) {
      if (Claim()) Finish(ToGrpcStatus(*refused));
      return;
    }
    const bool asked = entry_.router()->node().With([this](node::Node& node) {
      node.RequestView(
          [self = shared_from_this()](const node::NodeView& view) { self->OnView(view); });
    });
    if (!asked && Claim()) Finish(ToGrpcStatus(ShuttingDownError()));
  }
  void OnCancel() override {
    if (Claim()) Finish(grpc::Status(grpc::StatusCode::CANCELLED, "cancelled by the caller"));
  }
  void OnDone() override { self_.reset(); }

 private:
  bool Claim() { return !answered_.exchange(true); }
  void OnView(const node::NodeView& view) {
    if (!Claim()) return;
    Fill(view, response_);
    if (!entry_.names_leader()) ClearAddresses(response_);
    Finish(grpc::Status::OK);
  }

  const CallEntry entry_;
  v1::GetClusterResponse* const response_;  // valid until the answer
  std::atomic<bool> answered_{false};
  std::shared_ptr<GetClusterCall> self_;
};

// Routed to the leader like a call of the queue, but answered by the node's loop, not the broker.
class TransferCall final : public UnaryCall {
 public:
  using UnaryCall::UnaryCall;

 private:
  bool SubmitToNode(Time) override {
    v1::TransferLeadershipRequest request;
    if (!DecodeOrAnswer(&request)) return true;
    return router_->node().With([&](node::Node& node) {
      node.TransferLeadership(
          request.to(), [self = Self<TransferCall>(), this](queue::Outcome<std::string> leader) {
            if (!leader.ok()) return OnError(leader.error);
            v1::TransferLeadershipResponse response;
            response.set_leader_id(leader.value);
            OnResult(EncodeMessage(response));
          });
    });
  }
  std::string Subject() const override { return RequestText<v1::TransferLeadershipRequest>(); }
  // A repetition asks the new leader. With a target it is done already; without one the leadership
  // would move again.
  bool Repeatable() const override {
    v1::TransferLeadershipRequest request;
    return Decode(&request) && !request.to().empty();
  }
};

using RawClusterService = v1::ClusterService::WithCallbackMethod_GetCluster<
    v1::ClusterService::WithRawCallbackMethod_TransferLeadership<v1::ClusterService::Service>>;

class ClusterServiceImpl final : public RawClusterService {
 public:
  explicit ClusterServiceImpl(CallEntry entry) : entry_(std::move(entry)) {}

  grpc::ServerUnaryReactor* GetCluster(grpc::CallbackServerContext* context,
                                       const v1::GetClusterRequest*,
                                       v1::GetClusterResponse* response) override {
    const Authenticator::Ruling ruling =
        entry_.router()->authenticator().Check(CredentialsOf(*context, true), kGetCluster.scope);
    if (ruling.standing != Authenticator::Standing::kAllowed) {
      grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
      reactor->Finish(ToGrpcStatus(ruling.error));
      return reactor;
    }
    auto call = std::make_shared<GetClusterCall>(entry_, response);
    call->Begin(*context);
    return call.get();
  }
  grpc::ServerUnaryReactor* TransferLeadership(grpc::CallbackServerContext* context,
                                               const grpc::ByteBuffer* request,
                                               grpc::ByteBuffer* response) override {
    auto call =
        std::make_shared<TransferCall>(entry_, kTransferLeadership, context, request, response);
    call->Begin();
    return call.get();
  }

 private:
  const CallEntry entry_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeClusterService(CallEntry entry) {
  return std::make_unique<ClusterServiceImpl>(std::move(entry));
}

}  // namespace dqueue::transport
