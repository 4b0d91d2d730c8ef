#include "transport/http/routes/rest_keys.h"

#include <google/protobuf/util/time_util.h>

#include <optional>
#include <string>
#include <utility>

#include "dqueue/v1/service.pb.h"
#include "queue/api/validate.h"
#include "transport/calls/rpc_methods.h"
#include "transport/http/message/json_text.h"
#include "transport/http/routes/body_fields.h"
#include "transport/keys/secret_key.h"

namespace dqueue::transport {
namespace {

using google::protobuf::util::TimeUtil;

constexpr size_t kBodyBytesMax = 64 << 10;

HttpResponse JsonAnswer(int status, std::string body) {
  HttpResponse response;
  response.status = status;
  response.content_type = "application/json";
  response.body = std::move(body) + "\n";
  return response;
}

// `text`: the member "key": the whole key just after it was made, else its id.
JsonObject KeyJson(const v1::Key& key, const std::string& text) {
  JsonObject json;
  json.Text("key", text)
      .Text("id", key.id())
      .Text("name", key.name())
      .Text("owner_id", key.owner_id())
      .Text("type", std::string(KeyTypeName(key.type())))
      .Raw("scopes", JsonTexts(key.scopes()))
      .Raw("queues", JsonTexts(key.queues()))
      .Text("created_at", TimeUtil::ToString(key.create_time()));
  if (key.has_last_use_time()) json.Text("last_used_at", TimeUtil::ToString(key.last_use_time()));
  if (key.has_revoke_time()) json.Text("revoked_at", TimeUtil::ToString(key.revoke_time()));
  return json;
}

void Create(RpcBridge* bridge, const HttpCall& call, const HttpReply& reply) {
  v1::CreateKeyRequest request;
  BodyFields fields(call.request, BodyFields::Body::kRequired);
  request.set_name(fields.Text("name").value_or(""));
  request.set_owner_id(fields.Text("owner_id").value_or(""));
  const std::string type = fields.Text("type").value_or("");
  request.set_type(KeyTypeNamed(type));
  if (request.type() == v1::KEY_TYPE_UNSPECIFIED) {
    fields.Refuse("type", queue::ShownValue(type), "client, worker or admin");
  }
  if (auto problem = fields.Problem()) return reply.Send(*std::move(problem));
  bridge->Call<v1::CreateKeyResponse>(
      kCreateKey, request, reply, [reply](const v1::CreateKeyResponse& made) {
        reply.Send(JsonAnswer(201, KeyJson(made.key(), made.secret()).Finish()));
      });
}

void List(RpcBridge* bridge, bool own, const HttpReply& reply) {
  v1::ListKeysRequest request;
  request.set_own(own);
  request.set_revoked(true);
  bridge->CallPages<v1::ListKeysResponse>(kListKeys, request, reply,
                                          [reply](const v1::ListKeysResponse& list) {
                                            std::string keys = "[";
                                            for (const v1::Key& key : list.keys()) {
                                              if (keys.size() > 1) keys += ',';
                                              keys += KeyJson(key, key.id()).Finish();
                                            }
                                            reply.Send(JsonAnswer(200, keys + "]"));
                                          });
}

void Revoke(RpcBridge* bridge, const HttpCall& call, const HttpReply& reply) {
  v1::RevokeKeyRequest request;
  request.set_id(call.path.at("key"));
  bridge->Call<v1::RevokeKeyResponse>(
      kRevokeKey, request, reply, [reply](const v1::RevokeKeyResponse& revoked) {
        reply.Send(
            JsonAnswer(200, JsonObject()
                                .Text("message", "Key revoked successfully")
                                .Text("key", revoked.key().id())
                                .Text("revoked_at", TimeUtil::ToString(revoked.key().revoke_time()))
                                .Finish()));
      });
}

}  // namespace

void AddKeyRoutes(RpcBridge* bridge, Router* router) {
  router->Add({"POST", "/admin/keys",
               [bridge](HttpCall call, const HttpReply& reply) { Create(bridge, call, reply); },
               "keys.create", kCreateKey.scope, kBodyBytesMax, /*is_call=*/true, Runs::kInPool,
               /*plain=*/true});
  // With an admin key the keys of all owners, so it needs the right to make keys.
  router->Add({"GET", "/admin/keys",
               [bridge](HttpCall, const HttpReply& reply) { List(bridge, false, reply); },
               "keys.list", queue::Scope::kKeysCreate, 0, /*is_call=*/true, Runs::kInPool,
               /*plain=*/true});
  router->Add({"GET", "/keys",
               [bridge](HttpCall, const HttpReply& reply) { List(bridge, true, reply); },
               "keys.own", kListKeys.scope, 0, /*is_call=*/true, Runs::kInPool, /*plain=*/true});
  router->Add({"DELETE", "/keys/{key}",
               [bridge](HttpCall call, const HttpReply& reply) { Revoke(bridge, call, reply); },
               "keys.revoke", kRevokeKey.scope, 0, /*is_call=*/true, Runs::kInPool,
               /*plain=*/true});
}

}  // namespace dqueue::transport
