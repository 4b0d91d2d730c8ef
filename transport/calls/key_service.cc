// Keys are generated here, at the leader. Only the answer contains the key; the log gets a digest.
#include <algorithm>
#include <utility>

#include "dqueue/v1/service.grpc.pb.h"
#include "queue/api/validate.h"
#include "transport/calls/rpc_methods.h"
#include "transport/calls/services.h"
#include "transport/calls/unary_call.h"
#include "transport/keys/secret_key.h"

namespace dqueue::transport {
namespace {

// `field` of the request has `value`, and the caller has `limit`.
queue::Error BeyondCallerError(const std::string& field, const std::string& value,
                               const std::string& limit) {
  queue::Error error;
  error.code = absl::StatusCode::kPermissionDenied;
  error.reason = "BEYOND_OWN_RIGHTS";
  error.message = "a key cannot give away more than it has: " + field + " is " + value +
                  ", and must be " + limit;
  error.metadata = {{"field", field}, {"value", value}, {"limit", limit}};
  return error;
}

std::string Joined(const std::vector<std::string>& names) {
  std::string all;
  for (const std::string& name : names) all += (all.empty() ? "" : ", ") + name;
  return all;
}

// nullopt: `caller` has the right to make this key.
std::optional<queue::Error> ProblemOfRights(const queue::KeyRecord& key, const Caller& caller) {
  const uint32_t beyond = key.scopes & ~caller.scopes;
  if (beyond != 0) {
    return BeyondCallerError("scopes", Joined(queue::ScopeNames(beyond)),
                             "among " + Joined(queue::ScopeNames(caller.scopes)));
  }
  if (key.type == v1::KEY_TYPE_ADMIN && !caller.admin) {
    return BeyondCallerError("type", "KEY_TYPE_ADMIN", "KEY_TYPE_CLIENT or KEY_TYPE_WORKER");
  }
  // An admin acts for every owner: it sees and revokes the keys of all.
  if (!caller.admin && key.owner_id != caller.owner_id) {
    return BeyondCallerError("owner_id", queue::ShownValue(key.owner_id),
                             queue::ShownValue(caller.owner_id) +
                                 ", the owner of the caller; an admin key may name another");
  }
  if (caller.access == nullptr) return std::nullopt;
  const std::string own = "among " + Joined(caller.access->patterns());
  if (key.queues.empty()) return BeyondCallerError("queues", "empty (all queues)", own);
  for (const std::string& pattern : key.queues) {
    if (!caller.access->Covers(pattern)) {
      return BeyondCallerError("queues", queue::ShownValue(pattern), own);
    }
  }
  return std::nullopt;
}

std::optional<queue::Error> ReadKey(const v1::CreateKeyRequest& request, queue::KeyRecord* key) {
  key->name = request.name();
  key->owner_id = request.owner_id();
  key->type = request.type();
  if (KeyTypeName(key->type).empty()) {
    return queue::InvalidField("type", std::to_string(request.type()),
                               "KEY_TYPE_CLIENT, KEY_TYPE_WORKER or KEY_TYPE_ADMIN");
  }
  key->scopes = request.scopes().empty() ? queue::DefaultScopes(key->type) : 0;
  for (int i = 0; i < request.scopes_size(); ++i) {
    const Scope scope = queue::ScopeNamed(request.scopes(i));
    if (scope == Scope::kNone) {
      return queue::InvalidField("scopes[" + std::to_string(i) + "]",
                                 queue::ShownValue(request.scopes(i)),
                                 "one of " + Joined(queue::ScopeNames(queue::kAllScopes)));
    }
    key->scopes |= queue::ScopeBit(scope);
  }
  key->queues.assign(request.queues().begin(), request.queues().end());
  std::sort(key->queues.begin(), key->queues.end());
  return std::nullopt;
}

// The common part of the calls about keys. Request: the message of the API; CallT: the call of the
// broker.
template <class Request, class CallT>
class KeyCall : public UnaryCall {
 public:
  using UnaryCall::UnaryCall;

 protected:
  using Response = typename CallT::ResponseType;

  // Fills the order for the broker; an error refuses the request.
  virtual std::optional<queue::Error> Order(const Request& request,
                                            typename CallT::RequestType* order) = 0;
  virtual grpc::ByteBuffer Result(const Response& response) = 0;

  bool SubmitToNode(Time deadline) override {
    Request request;
    CallT call;
    if (!DecodeOrAnswer(&request)) return true;
    if (const auto error = Order(request, &call.request)) {
      OnError(*error);
      return true;
    }
    call.deadline = deadline;
    call.cancelled = CancelledFlag();
    call.caller = fair_caller();
    call.done = [self = this->template Self<KeyCall>()](queue::Outcome<Response> outcome) {
      if (!outcome.ok()) self->router_->rejections().Add(queue::kKindOf<CallT>, outcome.error);
      const size_t bytes = AboutBytes(outcome.value) + self->request_bytes();
      self->Conclude(bytes, [self, outcome = std::move(outcome)] {
        if (outcome.ok()) {
          self->OnResult(self->Result(outcome.value));
        } else {
          self->OnError(outcome.error);
        }
      });
    };
    return router_->node().With([&](node::Node& node) { node.Submit(std::move(call)); });
  }
  std::string Subject() const override { return RequestText<Request>(); }
};

class CreateKeyRpc final : public KeyCall<v1::CreateKeyRequest, queue::CreateKeyCall> {
 public:
  using KeyCall::KeyCall;

 private:
  std::optional<queue::Error> Order(const v1::CreateKeyRequest& request,
                                    queue::CreateKeyOrder* order) override {
    if (auto error = ReadKey(request, &order->key)) return error;
    if (auto error = ProblemOfRights(order->key, caller())) return error;
    const SecretKey key = MakeSecretKey(request.type());
    order->key.id = key.id;
    order->key.digest = DigestOfKey(key.secret);
    secret_ = key.secret;
    return std::nullopt;
  }
  grpc::ByteBuffer Result(const v1::Key& key) override {
    v1::CreateKeyResponse response;
    *response.mutable_key() = key;
    response.set_secret(secret_);
    return EncodeMessage(response);
  }
  // A repetition would make another key.
  bool Repeatable() const override { return false; }

  std::string secret_;
};

class ListKeysRpc final : public KeyCall<v1::ListKeysRequest, queue::ListKeysCall> {
 public:
  using KeyCall::KeyCall;

 private:
  std::optional<queue::Error> Order(const v1::ListKeysRequest& request,
                                    queue::ListKeysOrder* order) override {
    if (!caller().admin || request.own()) order->owner_id = caller().owner_id;
    order->revoked = request.revoked();
    order->page_size = request.page_size();
    order->page_token = request.page_token();
    return std::nullopt;
  }
  grpc::ByteBuffer Result(const v1::ListKeysResponse& response) override {
    return EncodeMessage(response);
  }
  bool Repeatable() const override { return true; }
};

class RevokeKeyRpc final : public KeyCall<v1::RevokeKeyRequest, queue::RevokeKeyCall> {
 public:
  using KeyCall::KeyCall;

 private:
  static std::string IdOf(const v1::RevokeKeyRequest& request) {
    const auto key = ParseSecretKey(request.id());
    return key ? key->id : request.id();
  }
  std::optional<queue::Error> Order(const v1::RevokeKeyRequest& request,
                                    queue::RevokeKeyOrder* order) override {
    order->id = IdOf(request);
    if (!caller().admin) order->owner_id = caller().owner_id;
    return std::nullopt;
  }
  grpc::ByteBuffer Result(const v1::Key& key) override {
    v1::RevokeKeyResponse response;
    *response.mutable_key() = key;
    return EncodeMessage(response);
  }
  bool Repeatable() const override { return true; }
  // A complete key, even a mistyped one, must not go into the log.
  std::string Subject() const override {
    v1::RevokeKeyRequest request;
    if (!Decode(&request)) return "";
    constexpr size_t kIdShownMax = 19;  // "client_" and 12 letters
    return "id: \"" + IdOf(request).substr(0, kIdShownMax) + "\"";
  }
};

using Context = grpc::CallbackServerContext;
using Bytes = grpc::ByteBuffer;
using Reactor = grpc::ServerUnaryReactor;
using v1::KeyService;

using RawKeyService =
    KeyService::WithRawCallbackMethod_CreateKey<KeyService::WithRawCallbackMethod_ListKeys<
        KeyService::WithRawCallbackMethod_RevokeKey<KeyService::Service>>>;

class KeyServiceImpl final : public RawKeyService {
 public:
  explicit KeyServiceImpl(CallEntry entry) : entry_(std::move(entry)) {}

  Reactor* CreateKey(Context* context, const Bytes* request, Bytes* response) override {
    return Begin<CreateKeyRpc>(kCreateKey, context, request, response);
  }
  Reactor* ListKeys(Context* context, const Bytes* request, Bytes* response) override {
    return Begin<ListKeysRpc>(kListKeys, context, request, response);
  }
  Reactor* RevokeKey(Context* context, const Bytes* request, Bytes* response) override {
    return Begin<RevokeKeyRpc>(kRevokeKey, context, request, response);
  }

 private:
  template <class Rpc>
  Reactor* Begin(const RpcMethod& method, Context* context, const Bytes* request, Bytes* response) {
    auto call = std::make_shared<Rpc>(entry_, method, context, request, response);
    call->Begin();
    return call.get();
  }

  const CallEntry entry_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeKeyService(CallEntry entry) {
  return std::make_unique<KeyServiceImpl>(std::move(entry));
}

}  // namespace dqueue::transport
