// Process-wide settings: standard streams, signals, core dumps, open files.
#pragma once

#include <cstdint>
#include <functional>

#include "absl/status/status.h"

namespace dqueue::cmd {

// To be called first in main(). Opens closed standard streams as /dev/null: otherwise the next file
// or socket would get their number and their output. Ignores SIGPIPE and SIGXFSZ, so that such
// writes return an error. Turns Abseil's mutex deadlock detection off.
void PrepareProcess();

// Turns core dumps off. Other processes of the same account can no longer read this process's
// memory or attach to it.
void ForbidCoreDumps();

// Raises the soft limit of open files to the hard limit. RESOURCE_EXHAUSTED if that is below
// `needed`; the message has both numbers.
absl::Status RaiseOpenFileLimit(uint64_t needed);

// Blocks SIGINT and SIGTERM in this thread and in threads that it starts later. Call it before
// other threads exist.
void BlockStopSignals();
// Waits for SIGINT or SIGTERM, which must be blocked, and returns its number. A later one ends the
// process at once with exit status 128 + signal.
int WaitForStopSignal();
// The same with a time limit. Returns 0 if no signal came within it.
int WaitForStopSignal(int milliseconds);

// Starts a thread that waits for SIGINT or SIGTERM, which must be blocked, then calls `clean_up`
// and ends the process with exit status 128 + signal.
void CleanUpOnStopSignal(std::function<void()> clean_up);

}  // namespace dqueue::cmd
