// The queues that a metrics page names, and the sum of the others.
//
// A scraper keeps a series for each name that it has ever seen, so a page names at most
// kNamedQueuesMax queues. A queue that was named is named as long as it exists; free places go to
// the first others by name.
//
// The counters of the others never fall, and nothing rises twice: what a queue may have counted as
// one of the others stays with the others, and so does what was counted between the last page and
// the moment in which a named queue was forgotten.
//
// Owned by a node; used on its loop's thread. Not replicated. A page costs O(kNamedQueuesMax).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "dqueue/v1/service.pb.h"
#include "queue/state/state_machine.h"

namespace dqueue::queue {

inline constexpr int kNamedQueuesMax = 200;

struct QueueFigures {
  v1::QueueStats total;                // of all queues, also of those that are forgotten
  std::vector<v1::QueueStats> queues;  // the named ones, by name
  v1::QueueStats other;                // of the others; counters: since the first page
  uint64_t queue_count = 0;            // named or not
};

class NamedQueues {
 public:
  // The figures as of now; ages at now_ms, Unix time.
  QueueFigures Page(const StateMachine& state, int64_t now_ms);

 private:
  void Choose(const StateMachine& state);

  bool all_named_ = true;                               // on the last page
  v1::QueueStats total_;                                // of the last page
  absl::btree_map<std::string, v1::QueueStats> named_;  // as of the last page
  v1::QueueStats other_;                                // the counters
};

}  // namespace dqueue::queue
