// Exit statuses of all programs. Stable: scripts depend on them.
#pragma once

namespace dqueue::cmd {

enum ExitCode : int {
  kExitOk = 0,
  kExitGeneric = 1,
  kExitUsage = 2,
  // Of dqueue-cli, dqueue-worker, dqueue-bench and dqueue-chaos.
  kExitNotFound = 3,
  kExitConflict = 4,     // already exists, wrong state, stale token
  kExitUnavailable = 5,  // no node reached, no leader, overloaded
  kExitDenied = 6,
  kExitTimeout = 7,
  kExitJobFailed = 8,     // wait: the job finished as DEAD or CANCELLED
  kExitVerifyFailed = 9,  // log verify, status, bench, chaos: lost, damaged or differing data
  // Numbers above 64 are those of sysexits.h. Of dqueue:
  kExitData = 65,    // the data is damaged, or of an unknown version
  kExitLocked = 69,  // the data directory is in use
  // Of all programs.
  kExitIo = 74,      // standard output cannot be written; dqueue: a file, directory or socket
  kExitConfig = 78,  // a malformed environment variable; dqueue: well-formed settings that
                     // contradict each other or the data
};

}  // namespace dqueue::cmd
