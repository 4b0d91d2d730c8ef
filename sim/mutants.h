// The deliberate bugs (mutants) of all layers. Each layer declares its own in its mutants.h. A
// mutant can be activated only in programs that link the libraries' _mutants variants.
#pragma once

#include <string_view>
#include <vector>

#include "base/mutant.h"

namespace dqueue::sim {

// In the order of the layers: raft, storage, queue/state, queue/broker. Names are unique.
const std::vector<const Mutant*>& AllMutants();
// Returns null if no mutant has this name.
const Mutant* FindMutant(std::string_view name);
// Activates only `mutant`, or none if it is null. Returns false if this program was built without
// mutants.
bool Activate(const Mutant* mutant);

}  // namespace dqueue::sim
