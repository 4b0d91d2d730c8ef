// What every program does first, so that the rest need not think of it.
#pragma once

#include <cstdint>
#include <functional>

#include "absl/status/status.h"

namespace dqueue::cmd {

// Standard input, output and error exist (closed ones become /dev/null: otherwise the next file or
// socket would take their number and be written to by accident). A write to a closed pipe or beyond
// the file size limit fails with an error instead of ending the process. Abseil's search for mutex
// deadlocks is off.
void PrepareProcess();

// A crash leaves no image of this process' memory, and no other process of the same account can
// look into it or attach to it.
void ForbidCoreDumps();

// Raises the limit of open files to the hard limit. RESOURCE_EXHAUSTED, naming both numbers, if it
// is then still below `needed`.
absl::Status RaiseOpenFileLimit(uint64_t needed);

// Blocks SIGINT and SIGTERM for this thread and those it will start. Before any other thread
// exists.
void BlockStopSignals();
// Waits for SIGINT or SIGTERM; they must be blocked. Returns the signal. From then on another one
// ends the process at once with 128 + signal.
int WaitForStopSignal();
// Like WaitForStopSignal(), but gives up after `milliseconds`: returns 0.
int WaitForStopSignal(int milliseconds);

// For programs that leave things behind: a thread waits for SIGINT or SIGTERM (they must be
// blocked), calls `clean_up` and ends the process with 128 + signal.
void CleanUpOnStopSignal(std::function<void()> clean_up);

}  // namespace dqueue::cmd
