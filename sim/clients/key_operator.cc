#include "sim/clients/key_operator.h"

#include <utility>

#include "sim/clients/load.h"

namespace dqueue::sim {
namespace {
constexpr Duration kTimeout = 1s;
constexpr int kAttempts = 4;
constexpr uint64_t kOwners = 3;

std::string OwnerName(uint64_t number) { return "owner-" + std::to_string(number); }
}  // namespace

void KeyOperator::Next() {
  world_->After(1ms + caller_.random().Exponential(load_.think_mean), [this] { Act(); });
}

template <class C>
void KeyOperator::Call(typename C::RequestType request) {
  caller_.Call<C>(std::move(request), kTimeout, [this](const auto& outcome) {
    if (!outcome || !outcome->ok()) caller_.Redirect(outcome ? &outcome->error : nullptr);
    Next();
  });
}

std::string KeyOperator::AnyId() {
  return made_.empty() ? "" : made_[caller_.random().Below(made_.size())].key.id;
}

queue::CreateKeyOrder KeyOperator::NewKey() {
  RandomStream& random = caller_.random();
  queue::CreateKeyOrder order;
  queue::KeyRecord& key = order.key;
  const std::string number = std::to_string(caller_.number()) + "k" + std::to_string(made_.size());
  key.id = "client_" + std::string(12 - number.size(), '0') + number;
  for (uint8_t& byte : key.digest) byte = static_cast<uint8_t>(random.Below(256));
  key.name = "key " + number;
  key.owner_id = OwnerName(random.Below(kOwners));
  key.type = v1::KEY_TYPE_CLIENT;
  key.scopes = queue::DefaultScopes(key.type);
  for (uint64_t i = random.Below(3); i > 0; --i) key.queues.push_back(QueueName(i) + "*");
  return order;
}

void KeyOperator::Act() {
  if (stopped_) return;
  RandomStream& random = caller_.random();
  const uint64_t draw = made_.empty() ? 0 : random.Below(10);
  if (draw < 3) {
    made_.push_back(NewKey());
    return Create(made_.back(), kAttempts);
  }
  if (draw == 3) {
    queue::CreateKeyOrder again = made_[random.Below(made_.size())];
    if (random.Chance(0.3)) again.key.digest[0] ^= 1;
    return Create(std::move(again), 1);
  }
  if (draw < 6) {
    std::string owner;
    if (random.Chance(0.4)) owner = OwnerName(random.Below(kOwners));
    return Call<queue::RevokeKeyCall>({.id = AnyId(), .owner_id = std::move(owner)});
  }
  if (draw < 8) {
    queue::UseKeysOrder use;
    for (int64_t i = random.Between(1, 3); i > 0; --i) use.ids.push_back(AnyId());
    if (random.Chance(0.2)) use.ids.emplace_back("admin_0000unknown0");
    return Call<queue::UseKeysCall>(std::move(use));
  }
  queue::ListKeysOrder list;
  if (random.Chance(0.5)) list.owner_id = OwnerName(random.Below(kOwners));
  list.revoked = random.Chance(0.5);
  Call<queue::ListKeysCall>(std::move(list));
}

void KeyOperator::Create(queue::CreateKeyOrder order, int attempts_left) {
  caller_.Call<queue::CreateKeyCall>(
      order, kTimeout,
      [this, order, attempts_left](const std::optional<queue::Outcome<v1::Key>>& outcome) {
        if (outcome && (outcome->ok() || outcome->error.reason == "KEY_EXISTS")) return Next();
        caller_.Redirect(outcome ? &outcome->error : nullptr);
        if (attempts_left <= 1 || stopped_) return Next();
        world_->After(caller_.random().Uniform(5ms, 100ms),
                      [this, order, attempts_left] { Create(order, attempts_left - 1); });
      });
}

}  // namespace dqueue::sim
