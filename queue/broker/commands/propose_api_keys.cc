#include "queue/broker/commands/propose_api_keys.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/check.h"
#include "dqueue/v1/command.pb.h"
#include "queue/api/validate.h"
#include "queue/broker/commands/single_command.h"
#include "queue/broker/refusals.h"

namespace dqueue::queue {
namespace {

template <class C>
class ApiKeyWork : public SingleCommandWork<C> {
 public:
  using SingleCommandWork<C>::SingleCommandWork;

  void Set(Time, uint32_t, const CommandResult& result, bool) override {
    if constexpr (std::is_same_v<C, UseKeysCall>) {
      DQ_CHECK(result.code == ResultCode::kOk);
    } else {
      if (result.key != nullptr) {
        this->response = ToProto(*result.key);
      } else {
        this->refusal = RefusalOf(result.code);
      }
    }
  }

 private:
  Error RefusalOf(ResultCode code) const {
    if constexpr (std::is_same_v<C, CreateKeyCall>) {
      if (code == ResultCode::kTooManyKeys) return TooManyKeysError();
      DQ_CHECK(code == ResultCode::kKeyRefused);
      return KeyExistsError(this->call.request.key.id);
    } else {
      DQ_CHECK(code == ResultCode::kNotFound);
      return KeyNotFoundError(this->call.request.id);
    }
  }
};

// A caller cannot create a key with access to queues that it may not access itself.
std::optional<Error> CheckKeyQueues(const CreateKeyCall& call) {
  if (call.access == nullptr) return std::nullopt;
  const std::vector<std::string>& queues = call.request.key.queues;
  if (queues.empty()) return QueueDeniedError("*");
  for (const std::string& queue : queues) {
    if (!call.access->Covers(queue)) return QueueDeniedError(queue);
  }
  return std::nullopt;
}

}  // namespace

template <class C>
void ApiKeyProposer::Propose(Time now, C call, CommandKind kind, int field,
                             const google::protobuf::MessageLite& message) {
  SubmitSingleCommand(
      now, std::move(call), admission_, commands_, kind, field, message, message.ByteSizeLong(),
      [this](C c) { return std::make_unique<ApiKeyWork<C>>(std::move(c), admission_); });
}

void ApiKeyProposer::Submit(Time now, CreateKeyCall call) {
  if (auto error = CheckRequest(call.request)) return call.done(*std::move(error));
  if (auto error = CheckKeyQueues(call)) return call.done(*std::move(error));
  const KeyRecord& key = call.request.key;
  log::v1::CreateKey create;
  create.set_id(key.id);
  create.set_digest(key.digest.data(), key.digest.size());
  create.set_name(key.name);
  create.set_owner_id(key.owner_id);
  create.set_type(static_cast<uint32_t>(key.type));
  create.set_scopes(key.scopes);
  std::vector<std::string> queues = key.queues;
  std::sort(queues.begin(), queues.end());
  for (std::string& queue : queues) create.add_queues(std::move(queue));
  Propose(now, std::move(call), CommandKind::kCreateKey, log::v1::Command::kCreateKeyFieldNumber,
          create);
}

void ApiKeyProposer::Submit(Time now, RevokeKeyCall call) {
  if (auto error = CheckRequest(call.request)) return call.done(*std::move(error));
  log::v1::RevokeKey revoke;
  revoke.set_id(call.request.id);
  revoke.set_owner_id(call.request.owner_id);
  Propose(now, std::move(call), CommandKind::kRevokeKey, log::v1::Command::kRevokeKeyFieldNumber,
          revoke);
}

void ApiKeyProposer::Submit(Time now, UseKeysCall call) {
  if (auto error = CheckRequest(call.request)) return call.done(*std::move(error));
  log::v1::UseKeys use;
  for (const std::string& id : call.request.ids) use.add_ids(id);
  Propose(now, std::move(call), CommandKind::kUseKeys, log::v1::Command::kUseKeysFieldNumber, use);
}

}  // namespace dqueue::queue
