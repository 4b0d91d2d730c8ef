#include <utility>

#include "client/client_impl.h"
#include "client/convert.h"

namespace dqueue::client {
namespace {

v1::KeyType ToProto(KeyType type) {
  switch (type) {
    case KeyType::kClient:
      return v1::KEY_TYPE_CLIENT;
    case KeyType::kWorker:
      return v1::KEY_TYPE_WORKER;
    case KeyType::kAdmin:
      return v1::KEY_TYPE_ADMIN;
    case KeyType::kUnknown:
      break;
  }
  return v1::KEY_TYPE_UNSPECIFIED;
}

KeyType FromProto(v1::KeyType type) {
  switch (type) {
    case v1::KEY_TYPE_CLIENT:
      return KeyType::kClient;
    case v1::KEY_TYPE_WORKER:
      return KeyType::kWorker;
    case v1::KEY_TYPE_ADMIN:
      return KeyType::kAdmin;
    default:
      return KeyType::kUnknown;
  }
}

ApiKey FromProto(const v1::Key& key) {
  ApiKey out;
  out.id = key.id();
  out.name = key.name();
  out.owner_id = key.owner_id();
  out.type = FromProto(key.type());
  out.scopes.assign(key.scopes().begin(), key.scopes().end());
  out.queues.assign(key.queues().begin(), key.queues().end());
  if (key.has_create_time()) out.create_time = GetTime(key.create_time());
  if (key.has_revoke_time()) out.revoke_time = GetTime(key.revoke_time());
  if (key.has_last_use_time()) out.last_use_time = GetTime(key.last_use_time());
  return out;
}

}  // namespace

std::string_view KeyTypeName(KeyType type) {
  switch (type) {
    case KeyType::kClient:
      return "client";
    case KeyType::kWorker:
      return "worker";
    case KeyType::kAdmin:
      return "admin";
    case KeyType::kUnknown:
      break;
  }
  return "unknown";
}

std::optional<KeyType> ParseKeyType(const std::string& name) {
  for (const KeyType type : {KeyType::kClient, KeyType::kWorker, KeyType::kAdmin}) {
    if (name == KeyTypeName(type)) return type;
  }
  return std::nullopt;
}

Result<NewApiKey> Client::CreateKey(const KeyOptions& options) {
  v1::CreateKeyRequest request;
  request.set_name(MakeUtf8(options.name, options.name.size()));
  request.set_owner_id(MakeUtf8(options.owner_id, options.owner_id.size()));
  request.set_type(ToProto(options.type));
  for (const std::string& scope : options.scopes) {
    request.add_scopes(MakeUtf8(scope, scope.size()));
  }
  for (const std::string& queue : options.queues) {
    request.add_queues(MakeUtf8(queue, queue.size()));
  }
  v1::CreateKeyResponse response;
  Result<NewApiKey> result;
  result.status = impl_->rpc.Call({.effect = Effect::kOnce,
                                   .timeout = impl_->options.timeout,
                                   .attempt_max = impl_->options.timeout},
                                  [&](Server& server, grpc::ClientContext* context) {
                                    return server.keys->CreateKey(context, request, &response);
                                  });
  if (result.ok()) {
    result.value.key = FromProto(response.key());
    result.value.secret = response.secret();
  }
  return result;
}

Result<std::vector<ApiKey>> Client::ListKeys(bool revoked) {
  v1::ListKeysRequest request;
  request.set_revoked(revoked);
  Result<std::vector<ApiKey>> result;
  do {
    v1::ListKeysResponse response;
    result.status = impl_->rpc.Call({.timeout = impl_->options.timeout},
                                    [&](Server& server, grpc::ClientContext* context) {
                                      return server.keys->ListKeys(context, request, &response);
                                    });
    if (!result.ok()) return result;
    for (const v1::Key& key : response.keys()) result.value.push_back(FromProto(key));
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  return result;
}

Result<ApiKey> Client::RevokeKey(const std::string& id) {
  v1::RevokeKeyRequest request;
  request.set_id(MakeUtf8(id, id.size()));
  v1::RevokeKeyResponse response;
  Result<ApiKey> result;
  result.status =
      impl_->rpc.Call({.effect = Effect::kIdempotent, .timeout = impl_->options.timeout},
                      [&](Server& server, grpc::ClientContext* context) {
                        return server.keys->RevokeKey(context, request, &response);
                      });
  if (result.ok()) result.value = FromProto(response.key());
  return result;
}

}  // namespace dqueue::client
