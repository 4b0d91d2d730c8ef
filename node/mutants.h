// Mutants of the node (base/mutant.h).
#pragma once

#include "base/mutant.h"

namespace dqueue::node::mutants {

#define DQ_NODE_MUTANTS(M) M(kOwnClock, "the leader writes its own wall clock into the log")

DQ_DECLARE_MUTANTS(kAll, DQ_NODE_MUTANTS)

}  // namespace dqueue::node::mutants
