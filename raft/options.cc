#include <string>

#include "absl/strings/str_cat.h"
#include "raft/raft.h"

namespace dqueue::raft {
namespace {

constexpr Duration kElectionMax = 10min;

std::string Milliseconds(Duration duration) {
  return absl::StrCat(duration.count() / 1000.0, " ms");
}

}  // namespace

std::string Options::Problem() const {
  if (heartbeat <= Duration::zero()) {
    return absl::StrCat("heartbeat is ", Milliseconds(heartbeat), "; it must be above 0");
  }
  if (election_max > kElectionMax) {
    return absl::StrCat("election_max is ", Milliseconds(election_max), "; it must be at most ",
                        Milliseconds(kElectionMax));
  }
  // A few lost heartbeats must not start an election.
  if (election_min / 4 < heartbeat) {
    return absl::StrCat("election_min is ", Milliseconds(election_min), " and heartbeat is ",
                        Milliseconds(heartbeat), "; election_min must be at least 4 * heartbeat");
  }
  if (election_max <= election_min) {
    return absl::StrCat("election_max is ", Milliseconds(election_max), " and election_min is ",
                        Milliseconds(election_min), "; election_max must be above election_min");
  }
  struct {
    const char* name;
    uint64_t value;
  } const limits[] = {{"max_append_entries", max_append_entries},
                      {"max_append_bytes", max_append_bytes},
                      {"max_uncommitted_bytes", max_uncommitted_bytes},
                      {"max_apply_bytes", max_apply_bytes},
                      {"max_pending_reads", max_pending_reads}};
  for (const auto& limit : limits) {
    if (limit.value == 0) return absl::StrCat(limit.name, " is 0; it must be above 0");
  }
  // Room for the no-op and the entry that binds incarnations, above what the last leader left.
  if (max_uncommitted_entries < 4) {
    return absl::StrCat("max_uncommitted_entries is ", max_uncommitted_entries,
                        "; it must be at least 4");
  }
  struct {
    const char* name;
    uint64_t value;
    const char* least_name;
    uint64_t least;
  } const relations[] = {
      {"window_entries", window_entries, "max_append_entries", max_append_entries},
      {"window_bytes", window_bytes, "max_append_bytes", max_append_bytes}};
  for (const auto& relation : relations) {
    if (relation.value < relation.least) {
      return absl::StrCat(relation.name, " is ", relation.value, " and ", relation.least_name,
                          " is ", relation.least, "; ", relation.name, " must be at least ",
                          relation.least_name);
    }
  }
  return {};
}

}  // namespace dqueue::raft
