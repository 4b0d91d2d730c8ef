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
constexpr std::chrono::milliseconds kRetryPause{200};
constexpr std::chrono::seconds kCallTime{5};

// Shared with the callback of a call, which may come late.
struct Shared {
  std::mutex mutex;
  std::condition_variable changed;
  queue::KeyTablePtr keys;
  // This node is the leader, and `keys` has every key of earlier leaders.
  bool serving = false;
  std::optional<absl::Status> answer;  // to the call that makes a key
  bool stop = false;
};

class KeyKeeperImpl final : public KeyKeeper {
 public:
  KeyKeeperImpl(NodeGate* gate, std::shared_ptr<Authenticator> authenticator, FirstKeys first,
                std::function<void()> on_loss)
      : gate_(gate),
        authenticator_(std::move(authenticator)),
        first_(std::move(first)),
        on_loss_(std::move(on_loss)) {
    gate_->With([&](node::Node& node) {
      watch_ = node.Watch([this](const node::NodeStatus& status) { OnStatus(status); });
    });
    thread_ = std::thread([this] { Run(); });
  }
  ~KeyKeeperImpl() override {
    watch_.Cancel();
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

  void OnStatus(const node::NodeStatus& status) {
    // One call at a time.
    if (status.keys != told_keys_) {
      if (authenticator_->SetKeys(*status.keys) && on_loss_) on_loss_();
      told_keys_ = status.keys;
    }
    const std::lock_guard lock(shared_->mutex);
    shared_->keys = status.keys;
    shared_->serving = status.serving;
    shared_->changed.notify_all();
  }

  // False: it is time to stop.
  bool WaitToServe() {
    std::unique_lock lock(shared_->mutex);
    shared_->changed.wait(lock, [this] { return shared_->stop || shared_->serving; });
    return !shared_->stop;
  }

  // True: it is time to stop.
  bool WaitFor(std::chrono::milliseconds time) {
    std::unique_lock lock(shared_->mutex);
    return shared_->changed.wait_for(lock, time, [this] { return shared_->stop; });
  }

  void MakeFirstKeys() {
    if (first_.keys.empty()) return;
    if (!WaitToServe()) return;
    // An earlier leader may have made keys. Keys that the loop below makes do not count.
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
      // A repetition makes the same key.
      absl::Status status = Make(key);
      while (!status.ok() && !absl::IsInvalidArgument(status)) {
        if (WaitFor(kRetryPause) || !WaitToServe()) return;
        status = Make(key);
      }
      if (!status.ok()) {
        spdlog::error("the first key is not made: {}", std::string(status.message()));
        return;
      }
      if (first_.made) first_.made(key);
    }
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
    // A follower's report is refused. The leader has seen the same calls, except those that a node
    // answers itself.
    call.done = [](const queue::Outcome<queue::UseKeysDone>&) {};
    gate_->With([&](node::Node& node) { node.Submit(std::move(call)); });
  }

  NodeGate* const gate_;
  const std::shared_ptr<Authenticator> authenticator_;
  FirstKeys first_;
  const std::function<void()> on_loss_;
  queue::KeyTablePtr keys_;       // the result of the last Keys()
  queue::KeyTablePtr told_keys_;  // the table that authenticator_ has
  const std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
  std::thread thread_;
  node::StatusWatch watch_;
};

}  // namespace

std::unique_ptr<KeyKeeper> KeyKeeper::Start(NodeGate* gate,
                                            std::shared_ptr<Authenticator> authenticator,
                                            FirstKeys first, std::function<void()> on_loss) {
  return std::make_unique<KeyKeeperImpl>(gate, std::move(authenticator), std::move(first),
                                         std::move(on_loss));
}

}  // namespace dqueue::transport
