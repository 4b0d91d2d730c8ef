// Runs a cluster through random faults chosen by a seed, then without faults until it has
// recovered. Throws Violation.
#pragma once

#include <cstdint>

namespace dqueue::raft::test {

struct Chaos {
  uint64_t seed = 1;
  int nodes = 3;
  int actions = 200;
};

struct ChaosReport {
  uint64_t committed = 0;
  uint64_t confirmed_reads = 0;
  uint64_t terms = 0;
  uint64_t snapshots_installed = 0;
};

ChaosReport RunChaos(const Chaos& chaos);

}  // namespace dqueue::raft::test
