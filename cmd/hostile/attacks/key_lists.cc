// Lists of keys and workers, and keys that are made and revoked.
#include "cmd/hostile/attacks/attacks.h"
#include "cmd/hostile/attacks/stock.h"

namespace dqueue::cmd {
namespace {

class KeyLists : public Attack {
 public:
  void Round(Caller& caller) override {
    v1::ListKeysRequest keys;
    keys.set_revoked(true);
    const Request calls[] = {Request("/dqueue.v1.KeyService/ListKeys", keys),
                             WorkerCall("ListWorkers", v1::ListWorkersRequest())};
    caller.CallAtOnce(calls, 50);
    v1::CreateKeyRequest create;
    create.set_name(caller.queue());
    create.set_owner_id("hostile");
    create.set_type(v1::KEY_TYPE_CLIENT);
    create.add_scopes("jobs:read");
    for (int i = 0; i < 100; ++i) create.add_queues(caller.queue() + "-" + std::to_string(i));
    v1::CreateKeyResponse created;
    if (!caller.Call(Request("/dqueue.v1.KeyService/CreateKey", create), &created)) return;
    v1::RevokeKeyRequest revoke;
    revoke.set_id(created.key().id());
    caller.Call(Request("/dqueue.v1.KeyService/RevokeKey", revoke));
  }
};

}  // namespace

std::unique_ptr<Attack> MakeKeyLists() { return Make<KeyLists>(); }

}  // namespace dqueue::cmd
