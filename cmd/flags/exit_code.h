// What the programs say with their exit status. Stable: scripts depend on it.
#pragma once

namespace dqueue::cmd {

enum ExitCode : int {
  kExitOk = 0,
  kExitGeneric = 1,
  kExitUsage = 2,
  // dqueue-cli, dqueue-worker, dqueue-bench, dqueue-chaos.
  kExitNotFound = 3,
  kExitConflict = 4,     // already exists, wrong state, stale token
  kExitUnavailable = 5,  // no node reached, no leader, overloaded
  kExitDenied = 6,
  kExitTimeout = 7,
  kExitJobFailed = 8,     // wait: the job is finished, but did not succeed
  kExitVerifyFailed = 9,  // log verify, status, bench and chaos: the data is not as promised
  // dqueue, as in sysexits.h.
  kExitData = 65,    // damaged or unknown data
  kExitLocked = 69,  // the data directory is in use
  kExitIo = 74,      // the system refused: file, directory, socket
  kExitConfig = 78,  // flags that are well-formed but cannot work
};

}  // namespace dqueue::cmd
