#include "cmd/hostile/attacks/attacks.h"

namespace dqueue::cmd {
namespace {

constexpr AttackKind kAttacks[] = {
    {"get-job-flood", "400 GetJob at once", 12, true, false, MakeGetJobFlood},
    {"full-pages", "pages of 1000 whole jobs, 8 at once", 12, true, true, MakeFullPages},
    {"scans", "lists and groups whose filters match no job", 12, true, true, MakeScans},
    {"long-polls", "50 leases of 100 queues and 100 types, 20 s", 12, true, false, MakeLongPolls},
    {"cancelled-calls", "calls cancelled after 0 to 3 ms", 12, true, false, MakeCancelledCalls},
    {"expired-deadlines", "calls with deadlines of 1 to 4 ms", 12, true, false,
     MakeExpiredDeadlines},
    {"full-batches", "1000 jobs of 16 KiB in a call", 10, true, false, MakeFullBatches},
    {"header-batches", "9500 jobs of 60 headers in a call", 4, true, false, MakeHeaderBatches},
    {"many-names", "10,000 new queues and types in a call", 12, true, false, MakeManyNames},
    {"idempotency-keys", "10,000 new idempotency keys in a call", 4, true, false,
     MakeIdempotencyKeys},
    {"sweeps", "purge, redrive, retry and cancel of 10,000 jobs", 12, true, false, MakeSweeps},
    {"statistics", "counts of all queues, 10 at once", 12, true, true, MakeStatistics},
    {"key-lists", "lists of keys and workers, new keys", 8, true, false, MakeKeyLists},
    {"worker-names", "leases of 500 new workers at once", 6, true, false, MakeWorkerNames},
    {"false-leases", "verdicts on leases that do not exist", 14, true, false, MakeFalseLeases},
    {"expired-leases", "10,000 leases that expire together", 6, true, false, MakeExpiredLeases},
    {"delayed-wave", "10,000 jobs that are due at one time", 4, true, false, MakeDelayedWave},
    {"slow-readers", "50 full pages that are read slowly", 12, true, true, MakeSlowReaders},
    {"pauses", "500 pauses and resumes at once", 8, true, false, MakePauses},
    {"reconnects", "a new connection for each call", 8, true, false, MakeReconnects},
    {"cluster-views", "500 GetCluster and health checks at once", 8, true, false, MakeClusterViews},
    {"http-pollers", "/stats, /metrics, /workers, /v1/stats", 24, false, true, MakeHttpPollers},
    {"http-pages", "pages of 1000 whole jobs, half of them read slowly", 16, false, true,
     MakeHttpPages},
    {"event-streams", "/events, half of them read slowly", 32, false, true, MakeEventStreams},
    {"big-json", "bodies of 5.9 MB", 8, false, false, MakeBigJson},
    {"http-tasks", "jobs one by one, leased and answered", 8, false, false, MakeHttpTasks},
};

}  // namespace

std::span<const AttackKind> AllAttacks() { return kAttacks; }

const AttackKind* FindAttack(std::string_view name) {
  for (const AttackKind& kind : kAttacks) {
    if (kind.name == name) return &kind;
  }
  return nullptr;
}

}  // namespace dqueue::cmd
