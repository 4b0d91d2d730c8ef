// Runs a scripted trace (trace_file.h) on a TestCluster. The script plays the network, the disks
// and the clock: a message arrives, a write becomes durable and time passes only by a command.
// Every election timeout is 300 ms and a heartbeat is due every 50 ms, so times are round.
// TestCluster's checks stay on.
//
// Before the cluster starts:
//   nodes 3 [term=N] [unbound] [max-append-entries=N] [seed=N]
//                             term: stored by every node; unbound: incarnations are not bound yet;
//                             seed: of what is left to chance (who notices a broken connection)
//   log n2 1 1 4              terms of the entries after the configuration at index 1
// Time:
//   timeout n1                the clock moves to the deadline of n1, whose timer fires
//   wait 50ms                 the clock moves; nothing else happens
//   run 50ms                  timers fire, messages take 1 ms, writes take 1 ms
//   settle                    deliver and persist, at this moment, until nothing is left to do
//   elect n1                  timeout n1, settle; only the resulting status is shown
// Network:
//   deliver all               what is in flight now and not held, oldest first
//   deliver n1->n2 [Append] [first=N]   also what is held
//   drop n1->n2 [Append] [first=N]      lost; or drop all
//   duplicate n1->n2 [Append]           a second copy at the end of the queue
//   hold n1->n2 [Append]      deliver all, settle and run pass over these; release ends all holds
//   cut n3 | cut n1->n2       messages sent from now on are lost; heal ends all cuts
//   network                   shows what is in flight
// Disk:
//   persist n1 [N]            the oldest N writes of n1 (without N: all pending writes) become
//   durable; or
//                             persist all
//   stall n1, unstall n1      settle and run pass over its writes
//   crash n1 [kept=N], restart n1       all writes under way but the oldest N are lost
//   wipe n1                   n1 crashes; its disk is formatted anew
// Clients and operators:
//   propose n1 "a" ["b" ...], read n1, transfer n1 [n2], snapshot n1 [trailing=N]
//   capacity n1 low|ok        its disk is short of space, or has room again
//   unreachable n1 [n2 ...]   the others, or those named, learn that connections to n1 broke
// Output:
//   state [n1 ...], applied [n1 ...]    one line a node
//   hide Heartbeat, show Heartbeat      messages of a kind are not printed
//   mute, unmute              nothing is printed
//
// A state line shows the role and term, the durable vote, the commit and applied index, the durable
// index if it is not the last, and the terms of the log as figure 7 of the paper does.
//
// A line of output begins with the time if it differs from the line above. A message is printed
// when it is sent, "(cut)" if the network loses it at once. "n1 writes #2 ..., then Vote to n2" is
// a write that the named messages wait for (R1).
#pragma once

#include <string>

namespace dqueue::raft::test {

struct TraceResult {
  // The script with the output that the cluster gave. A failed check of the cluster ends it with a
  // line "violation: ...".
  std::string actual;
  // For each block that differs: its place and the differing lines. Empty if the trace is as
  // expected.
  std::string diff;
  // A mistake in the script; the rest is empty then.
  std::string error;
};

// `name` is the name of the file in messages.
TraceResult RunTrace(const std::string& name, const std::string& text);

}  // namespace dqueue::raft::test
