// Deliberate bugs, which prove that the simulator and the tests would see them. Each layer declares
// its own in its mutants.h. `if (DQ_MUTANT(mutants::kX)) …` is constant false except in libraries
// built with DQUEUE_MUTANTS, where dqueue-sim-mutants and the mutant tests activate one at a time.
// sim/MUTANTS.md lists all of them with the seed that kills each.
#pragma once

namespace dqueue {

// Identified by its address.
struct Mutant {
  const char* name;
  const char* bug;  // what the code then does wrong
};

#ifdef DQUEUE_MUTANTS
inline const Mutant* active_mutant = nullptr;
#define DQ_MUTANT(mutant) (::dqueue::active_mutant == &(mutant))
#else
#define DQ_MUTANT(mutant) false
#endif

// DQ_DECLARE_MUTANTS(kAll, LIST), where LIST(M) is M(kName, "bug") M(kName, "bug") …, declares a
// Mutant for each item and an array kAll of pointers to them.
#define DQ_DECLARE_MUTANT(name, bug) inline constexpr Mutant name{#name, bug};
#define DQ_MUTANT_ADDRESS(name, bug) &name,
#define DQ_DECLARE_MUTANTS(all, LIST) \
  LIST(DQ_DECLARE_MUTANT)             \
  inline constexpr const Mutant* all[] = {LIST(DQ_MUTANT_ADDRESS)};

}  // namespace dqueue
