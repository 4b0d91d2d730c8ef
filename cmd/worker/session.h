// The processes of a session (setsid(2)), found in /proc. A command is a session of its own: shells
// and tools such as timeout(1) put parts of a command into other process groups, but not into
// another session.
#pragma once

#include <sys/types.h>

#include <cstddef>

namespace dqueue::cmd {

// Sends `signal` to every process of the session and returns how many there were. `signal` 0: only
// counts. Zombies do not count. A session without processes gets no signal, so the number may be in
// use by another process by now. Without /proc only the process group `session` is reached.
// Thread-safe; concurrent calls share one reading of /proc.
size_t SignalSession(pid_t session, int signal);

}  // namespace dqueue::cmd
