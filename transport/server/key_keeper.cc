#include "transport/server/key_keeper.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "node/runner.h"
#include "transport/keys/secret_key.h"

namespace dqueue::transport {
namespace {

constexpr std::chrono::seconds kReportEvery{60};
constexpr std::chrono::milliseconds kTryEvery{200};
constexpr std::chrono::seconds kCallTime{5};

// Shared with the node's callbacks, which may come late.
struct Shared {
  std::mutex mutex;
  std::condition_variable changed;
  queue::KeyTablePtr keys;
  std::optional<absl::Status> answer;  // of the key that is being made
  bool stop = false;
};

class KeyKeeperImpl final : public KeyKeeper {
 public:
  KeyKeeperImpl(NodeGate* gate, std::shared_ptr<Authenticator> authenticator,
                std::function<bool()> leads, FirstKeys first)
      : gate_(gate),
        authenticator_(std::move(authenticator)),
        leads_(std::move(leads)),
        first_(std::move(first)) {
    gate_->With([&](node::Node& node) {
      node.WatchKeys([shared = shared_, auth = authenticator_](queue::KeyTablePtr keys) {
        auth->SetKeys(*keys);
        const std::lock_guard lock(shared->mutex);
        shared->keys = std::move(keys);
        shared->changed.notify_all();
      });
    });
    thread_ = std::thread([this] { Run(); });
  }
  ~KeyKeeperImpl() override {
    {
      const std::lock_guard lock(shared_->mutex);
      shared_->stop = true;
    }
    shared_->changed.notify_all();
    thread_.join();
  }

 private:
  void Run() {
    MakeFirstKeys();
    while (!WaitFor(kReportEvery)) ReportUses();
  }

  // True: it is time to stop.
  bool WaitFor(std::chrono::milliseconds time) {
    std::unique_lock lock(shared_->mutex);
    return shared_->changed.wait_for(lock, time, [this] { return shared_->stop; });
  }

  void MakeFirstKeys() {
    if (first_.keys.empty()) return;
    while (!Knows() || !leads_()) {
      if (WaitFor(kTryEvery)) return;
    }
    // Another leader may have made some meanwhile; those that are made here do not count.
    if (!first_.always && !Keys().empty()) return;
    for (FirstKey& key : first_.keys) {
      if (key.secret.empty()) key.secret = MakeSecretKey(key.type).secret;
      if (Keys().Find(ParseSecretKey(key.secret)->id) != nullptr) continue;
      if (first_.before) {
        if (const absl::Status status = first_.before(key); !status.ok()) {
          spdlog::error("the first key is not made: {}", std::string(status.message()));
          return;
        }
      }
      // Trying again is making the same key.
      absl::Status status = Make(key);
      while (!status.ok() && !absl::IsInvalidArgument(status)) {
        if (WaitFor(kTryEvery)) return;
        status = Make(key);
      }
      if (!status.ok()) {
        spdlog::error("the first key is not made: {}", std::string(status.message()));
        return;
      }
      if (first_.made) first_.made(key);
    }
  }

  bool Knows() const {
    const std::lock_guard lock(shared_->mutex);
    return shared_->keys != nullptr;
  }
  const queue::KeyTable& Keys() {
    const std::lock_guard lock(shared_->mutex);
    keys_ = shared_->keys;
    return *keys_;
  }

  absl::Status Make(const FirstKey& key) {
    const SecretKey secret = *ParseSecretKey(key.secret);
    queue::CreateKeyCall call;
    call.request.key.id = secret.id;
    call.request.key.digest = DigestOfKey(secret.secret);
    call.request.key.name = key.name;
    call.request.key.owner_id = key.owner_id;
    call.request.key.type = key.type;
    call.request.key.scopes = queue::DefaultScopes(key.type);
    call.deadline = node::MonotonicNow() + kCallTime;
    call.done = [shared = shared_](const queue::Outcome<v1::Key>& outcome) {
      const std::lock_guard lock(shared->mutex);
      shared->answer =
          outcome.ok() ? absl::OkStatus() : absl::Status(outcome.error.code, outcome.error.message);
      shared->changed.notify_all();
    };
    {
      const std::lock_guard lock(shared_->mutex);
      shared_->answer.reset();
    }
    if (!gate_->With([&](node::Node& node) { node.Submit(std::move(call)); })) {
      return absl::UnavailableError("the node is gone");
    }
    std::unique_lock lock(shared_->mutex);
    shared_->changed.wait(lock, [this] { return shared_->answer || shared_->stop; });
    return shared_->answer ? *shared_->answer : absl::UnavailableError("stopping");
  }

  void ReportUses() {
    queue::UseKeysCall call;
    call.request.ids = authenticator_->TakeUses();
    if (call.request.ids.empty()) return;
    call.deadline = node::MonotonicNow() + kCallTime;
    // A follower's is refused: the leader has seen the same calls, but for those that a node
    // answers by itself.
    call.done = [](const queue::Outcome<queue::UseKeysDone>&) {};
    gate_->With([&](node::Node& node) { node.Submit(std::move(call)); });
  }

  NodeGate* const gate_;
  const std::shared_ptr<Authenticator> authenticator_;
  const std::function<bool()> leads_;
  FirstKeys first_;
  queue::KeyTablePtr keys_;  // what Keys() gave last
  const std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
  std::thread thread_;
};

}  // namespace

std::unique_ptr<KeyKeeper> KeyKeeper::Start(NodeGate* gate,
                                            std::shared_ptr<Authenticator> authenticator,
                                            std::function<bool()> leads, FirstKeys first) {
  return std::make_unique<KeyKeeperImpl>(gate, std::move(authenticator), std::move(leads),
                                         std::move(first));
}

}  // namespace dqueue::transport
