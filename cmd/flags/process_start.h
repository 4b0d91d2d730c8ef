// Process-wide settings: standard streams, signals, core dumps, open files.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"

namespace dqueue::cmd {

// The stop signals: SIGINT, SIGTERM, SIGQUIT and SIGHUP.
enum class StopSignals {
  kDefault,  // end the process. For programs that hold nothing
  // Are blocked in this thread and in threads that it starts. The program waits for them with the
  // functions below, and takes one that came earlier.
  kBlocked,
};

// To be called first in main(), before other threads exist: a thread without the mask could get a
// stop signal, which would end the process. Opens closed standard streams as /dev/null: otherwise
// the next file or socket would get their number and their output. Ignores SIGPIPE and SIGXFSZ, so
// that such writes return an error, and SIGUSR1 and SIGUSR2, which would end the process. Turns
// Abseil's mutex deadlock detection off.
void PrepareProcess(StopSignals stop_signals);

// Turns core dumps off. Other processes of the same account can no longer read this process's
// memory or attach to it.
void ForbidCoreDumps();

// Raises the soft limit of open files to the hard limit. RESOURCE_EXHAUSTED if that is below
// `needed`; the message has both numbers.
absl::Status RaiseOpenFileLimit(uint64_t needed);

// These need StopSignals::kBlocked.
// Waits for a stop signal and returns its number. After one that is not SIGHUP, the next SIGINT,
// SIGTERM or SIGQUIT ends the process at once with exit status 128 + signal.
int WaitForStopSignal();
// The same with a time limit, for programs that SIGHUP stops too: the next signal ends the process
// also after a SIGHUP. Returns 0 if no signal came within the limit, and for a SIGHUP that was
// ignored when the process started (nohup).
int WaitForStopSignal(int milliseconds);
// "SIGTERM"; the number if it is no stop signal.
std::string SignalName(int signal_number);

// Starts a thread that waits for a stop signal, then calls `clean_up` and ends the process with
// exit status 128 + signal. A SIGHUP that was ignored when the process started does nothing.
void CleanUpOnStopSignal(std::function<void()> clean_up);

}  // namespace dqueue::cmd
