#include "queue/broker/confirmations.h"

#include "base/check.h"

namespace dqueue::queue {

void Confirmations::AddPart(WorkPart part) {
  ++waiting_parts_;
  gathered_.parts.push_back(std::move(part));
}

uint64_t Confirmations::Begin() {
  const uint64_t id = next_round_++;
  rounds_[id] = std::exchange(gathered_, {});
  return id;
}

std::optional<Confirmations::Round> Confirmations::End(uint64_t id) {
  const auto it = rounds_.find(id);
  if (it == rounds_.end()) return std::nullopt;
  Round round = std::move(it->second);
  rounds_.erase(it);
  DQ_CHECK(waiting_parts_ >= round.parts.size());
  waiting_parts_ -= round.parts.size();
  return round;
}

void Confirmations::FailAll(Work::Failure failure, DecidedParts* decided) {
  waiting_parts_ = 0;
  std::map<uint64_t, Round> rounds = std::exchange(rounds_, {});
  const auto fail = [failure, decided](Round& round) {
    for (WorkPart& part : round.parts) decided->Add(std::move(part), failure);
  };
  for (auto& [id, round] : rounds) fail(round);
  Round gathered = std::exchange(gathered_, {});
  fail(gathered);
}

}  // namespace dqueue::queue
