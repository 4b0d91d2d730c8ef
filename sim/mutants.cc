#include "sim/mutants.h"

#include "node/mutants.h"
#include "queue/broker/mutants.h"
#include "queue/state/mutants.h"
#include "raft/mutants.h"
#include "storage/log/mutants.h"

namespace dqueue::sim {

const std::vector<const Mutant*>& AllMutants() {
  static const std::vector<const Mutant*> mutants = [] {
    std::vector<const Mutant*> all;
    const auto add = [&all](const auto& layer) {
      all.insert(all.end(), std::begin(layer), std::end(layer));
    };
    add(raft::mutants::kAll);
    add(storage::mutants::kAll);
    add(queue::mutants::kOfState);
    add(queue::mutants::kOfBroker);
    add(node::mutants::kAll);
    return all;
  }();
  return mutants;
}

const Mutant* FindMutant(std::string_view name) {
  for (const Mutant* const mutant : AllMutants()) {
    if (name == mutant->name) return mutant;
  }
  return nullptr;
}

bool Activate([[maybe_unused]] const Mutant* mutant) {
#ifdef DQUEUE_MUTANTS
  active_mutant = mutant;
  return true;
#else
  return false;
#endif
}

}  // namespace dqueue::sim
