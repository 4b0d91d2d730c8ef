// The deliberate bugs of base/mutant.h by name. They can be switched on only in programs that link
// the libraries' _mutants twins.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "base/mutant.h"

namespace dqueue::sim {

struct NamedMutant {
  Mutant mutant = Mutant::kNone;
  const char* name = "";
};

// All, in the order of base/mutant.h.
const std::vector<NamedMutant>& AllMutants();
std::optional<NamedMutant> FindMutant(std::string_view name);
// False if this program has no mutants in it.
bool Activate(Mutant mutant);

}  // namespace dqueue::sim
