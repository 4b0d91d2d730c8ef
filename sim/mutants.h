// The deliberate bugs of all layers. They can be activated only in programs that link the
// libraries' _mutants twins.
#pragma once

#include <string_view>
#include <vector>

#include "base/mutant.h"

namespace dqueue::sim {

// In the order of the layers: raft, storage, state, broker. Names are unique.
const std::vector<const Mutant*>& AllMutants();
// Null: no mutant has this name.
const Mutant* FindMutant(std::string_view name);
// `mutant` null: none is active from now on. False if this program has no mutants in it.
bool Activate(const Mutant* mutant);

}  // namespace dqueue::sim
