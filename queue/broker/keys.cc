// API keys: made, revoked and noted as used by the log, which decides alone: they are rare, and
// nothing is known better here. (Lists of keys are reads: broker_reads.cc.)
#include <memory>
#include <type_traits>
#include <utility>

#include "base/check.h"
#include "queue/api/validate.h"
#include "queue/broker/broker_impl.h"

namespace dqueue::queue {
namespace {

// One command.
template <class C>
class KeyWork : public Work {
 public:
  explicit KeyWork(C c) : Work(c.deadline), call_(std::move(c)) {}

  void Set(uint32_t, const CommandResult& result, bool) override {
    if constexpr (std::is_same_v<C, UseKeysCall>) {
      DQ_CHECK(result.code == ResultCode::kOk);
    } else {
      if (result.key != nullptr) {
        response_ = ToProto(*result.key);
      } else {
        refusal_ = RefusalOf(result.code);
      }
    }
  }
  void Answer(std::optional<Error> error) override {
    if (!error) error = std::move(refusal_);
    if (error) return call_.done(*std::move(error));
    call_.done(std::move(response_));
  }

 private:
  Error RefusalOf(ResultCode code) const {
    if constexpr (std::is_same_v<C, CreateKeyCall>) {
      if (code == ResultCode::kTooManyKeys) return TooManyKeysError();
      DQ_CHECK(code == ResultCode::kKeyRefused);
      return KeyExistsError(call_.request.key.id);
    } else {
      DQ_CHECK(code == ResultCode::kNotFound);
      return KeyNotFoundError(call_.request.id);
    }
  }

  C call_;
  typename C::ResponseType response_;
  std::optional<Error> refusal_;
};

}  // namespace

template <class C>
void BrokerImpl::SubmitKeyCommand(Time now, C call, CommandKind kind, int field,
                                  const google::protobuf::MessageLite& message) {
  if (auto error = AdmitCommands(now, call.deadline, 1, message.ByteSizeLong())) {
    return call.done(*std::move(error));
  }
  Work* const work = std::make_unique<KeyWork<C>>(std::move(call)).release();
  work->remaining = 1;
  Append(field, message, {.work = work, .kind = kind});
}

void BrokerImpl::Submit(Time now, int64_t, CreateKeyCall call) {
  if (auto error = CheckRequest(call.request)) return call.done(*std::move(error));
  const KeyRecord& key = call.request.key;
  // Nobody gives away more than he has.
  if (call.access != nullptr) {
    if (key.queues.empty()) return call.done(QueueDeniedError("*"));
    for (const std::string& queue : key.queues) {
      if (!call.access->Covers(queue)) return call.done(QueueDeniedError(queue));
    }
  }
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
  SubmitKeyCommand(now, std::move(call), CommandKind::kCreateKey,
                   log::v1::Command::kCreateKeyFieldNumber, create);
}

void BrokerImpl::Submit(Time now, int64_t, RevokeKeyCall call) {
  if (auto error = CheckRequest(call.request)) return call.done(*std::move(error));
  log::v1::RevokeKey revoke;
  revoke.set_id(call.request.id);
  revoke.set_owner_id(call.request.owner_id);
  SubmitKeyCommand(now, std::move(call), CommandKind::kRevokeKey,
                   log::v1::Command::kRevokeKeyFieldNumber, revoke);
}

void BrokerImpl::Submit(Time now, int64_t, UseKeysCall call) {
  if (auto error = CheckRequest(call.request)) return call.done(*std::move(error));
  log::v1::UseKeys use;
  for (const std::string& id : call.request.ids) use.add_ids(id);
  SubmitKeyCommand(now, std::move(call), CommandKind::kUseKeys,
                   log::v1::Command::kUseKeysFieldNumber, use);
}

}  // namespace dqueue::queue
