// Mutants: deliberate bugs that prove that the tests and the simulator can fail. Each layer
// declares its mutants in its mutants.h. `if (DQ_MUTANT(mutants::kX))` is constant false except in
// libraries built with DQUEUE_MUTANTS. Those are linked into dqueue-sim-mutants and the mutant
// tests, which activate one mutant at a time. sim/MUTANTS.md lists every mutant and the first
// seed that detects it, if one does.
#pragma once

namespace dqueue {

// A mutant is identified by its address.
struct Mutant {
  const char* name;
  const char* bug;  // what the mutated code does wrong
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
