#include "transport/http/routes/metrics_page.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <sstream>

#include "transport/http/routes/exposition.h"

namespace dqueue::transport {
namespace {

using Type = Exposition::Type;
using v1::QueueStats;

struct QueueFigure {
  const char* name;
  Type type;
  const char* help;
  uint64_t (QueueStats::*figure)() const;
};

constexpr QueueFigure kQueueFigures[] = {
    {"dqueue_jobs_enqueued_total", Type::kCounter, "Jobs enqueued.", &QueueStats::enqueued},
    {"dqueue_jobs_completed_total", Type::kCounter, "Completions.", &QueueStats::completions},
    {"dqueue_jobs_failed_total", Type::kCounter, "Attempts reported as failed by a worker.",
     &QueueStats::failures},
    {"dqueue_jobs_expired_total", Type::kCounter, "Attempts whose lease expired.",
     &QueueStats::expirations},
    {"dqueue_jobs_dead_total", Type::kCounter, "Jobs moved to the dead letters.",
     &QueueStats::deaths},
    {"dqueue_jobs_cancelled_total", Type::kCounter, "Cancellations.", &QueueStats::cancellations},
    {"dqueue_jobs_retried_total", Type::kCounter, "Dead or cancelled jobs made ready again.",
     &QueueStats::retries},
    {"dqueue_jobs_purged_total", Type::kCounter, "Jobs removed.", &QueueStats::purged},
    {"dqueue_queue_depth", Type::kGauge, "Jobs that can be leased now.", &QueueStats::ready},
    {"dqueue_scheduled_jobs", Type::kGauge, "Jobs scheduled for a later time.",
     &QueueStats::scheduled},
    {"dqueue_in_flight_jobs", Type::kGauge, "Jobs held by workers; leader.", &QueueStats::leased},
    {"dqueue_succeeded_jobs", Type::kGauge, "Completed jobs still stored.", &QueueStats::succeeded},
    {"dqueue_dead_jobs", Type::kGauge, "Dead letters.", &QueueStats::dead},
    {"dqueue_cancelled_jobs", Type::kGauge, "Cancelled jobs still stored.", &QueueStats::cancelled},
};

void AddQueues(Exposition* out, const node::NodeMetrics& node) {
  const queue::QueueFigures& figures = node.queues;
  const uint64_t unnamed = figures.queue_count - figures.queues.size();
  for (const QueueFigure& f : kQueueFigures) {
    out->Family(f.name, f.type, f.help);
    for (const QueueStats& queue : figures.queues) {
      out->Sample((queue.*f.figure)(), {{"queue", queue.queue()}});
    }
    if (unnamed > 0 || figures.other.enqueued() > 0) {
      out->Sample((figures.other.*f.figure)(), {{"queue", kOtherQueues}});
    }
  }
  out->Family("dqueue_queue_oldest_ready_age_seconds", Type::kGauge,
              "Age of the job that has been ready longest.");
  for (const QueueStats& queue : figures.queues) {
    const auto& age = queue.oldest_ready_age();
    out->Sample(static_cast<double>(age.seconds()) + age.nanos() / 1e9, {{"queue", queue.queue()}});
  }
  out->Family("dqueue_queue_paused", Type::kGauge, "1 while the queue grants no leases.");
  for (const QueueStats& queue : figures.queues) {
    out->Sample(uint64_t{queue.paused()}, {{"queue", queue.queue()}});
  }
  const auto one = [out](std::string_view name, Type type, std::string_view help, uint64_t value) {
    out->Family(name, type, help);
    out->Sample(value);
  };
  one("dqueue_queues", Type::kGauge, "Queues that exist.", figures.queue_count);
  one("dqueue_queues_unnamed", Type::kGauge,
      "Queues that this page does not name: they are counted as _other.", unnamed);
  one("dqueue_queues_forgotten_total", Type::kCounter,
      "Queues forgotten because they had no job and default settings.", node.forgotten_queues);
  one("dqueue_remembered_requests", Type::kGauge,
      "Jobs of requests with a request_id that are remembered though they are gone.",
      node.used_request_ids.count);
  one("dqueue_state_level", Type::kGauge, "Level of the rules of the replicated state.",
      node.state_level);
  out->Family("dqueue_clock_offset_seconds", Type::kGauge,
              "The cluster's time minus this node's wall clock.");
  out->Sample(static_cast<double>(node.clock_offset_ms) / 1000);
}

void AddRaft(Exposition* out, const node::NodeMetrics& node) {
  const raft::View& raft = node.view.raft;
  const auto gauge = [out](std::string_view name, std::string_view help, uint64_t value) {
    out->Family(name, Type::kGauge, help);
    out->Sample(value);
  };
  const auto counter = [out](std::string_view name, std::string_view help, uint64_t value) {
    out->Family(name, Type::kCounter, help);
    out->Sample(value);
  };
  gauge("dqueue_raft_term", "Current term.", raft.status.term.value());
  gauge("dqueue_raft_is_leader", "1 on the leader.", raft.status.role == raft::Role::kLeader);
  gauge("dqueue_raft_leader_known", "1 while this node knows a leader.",
        !node.view.leader_name.empty());
  gauge("dqueue_raft_last_index", "Last entry of the log.", raft.last_index.value());
  gauge("dqueue_raft_durable_index", "Last entry on this node's disk.", raft.durable_index.value());
  gauge("dqueue_raft_commit_index", "Last entry known to be committed.", raft.commit.value());
  gauge("dqueue_raft_applied_index", "Last entry applied.", node.view.applied_index);
  gauge("dqueue_raft_snapshot_index", "Last entry of the newest snapshot.",
        node.view.snapshot_index);
  gauge("dqueue_raft_members", "Members of the cluster.", raft.config.MemberIds().size());
  counter("dqueue_raft_proposals_total", "Batches proposed by this node.", node.proposals);
  counter("dqueue_raft_leader_changes_total", "New leaders seen by this node.",
          node.leader_changes);
  counter("dqueue_raft_elections_won_total", "Elections won by this node.", node.elections_won);
  counter("dqueue_raft_dropped_messages_total",
          "Dropped messages from peers: malformed, of another cluster, or from before a restart.",
          raft.dropped_messages);
  out->Family("dqueue_peer_messages_refused_total", Type::kCounter,
              "Messages of nodes that this node does not take for members, by reason.");
  constexpr const char* kReasons[] = {"other_cluster", "other_incarnation", "not_member",
                                      "went_back"};
  static_assert(std::size(kReasons) == raft::kRefusalReasons);
  for (size_t i = 0; i < std::size(kReasons); ++i) {
    out->Sample(raft.refused_messages[i], {{"reason", kReasons[i]}});
  }
  gauge("dqueue_node_excluded", "1 while members refuse this node as not part of the cluster.",
        !node.view.excluded.empty());
  out->Family("dqueue_raft_commit_seconds", Type::kHistogram,
              "Time from proposing a batch to applying it; leader.");
  out->Sample(node.commit_time);
  if (raft.members.empty()) return;
  out->Family("dqueue_raft_peer_lag_entries", Type::kGauge,
              "Entries not yet on the disk of the member; leader.");
  const auto of_peers = [&](const auto& figure) {
    for (const raft::MemberView& peer : raft.members) {
      const raft::Member* member = raft.config.Find(peer.id);
      if (member == nullptr || member->name == node.view.name) continue;
      out->Sample(figure(peer), {{"peer", member->name}});
    }
  };
  of_peers([&](const raft::MemberView& peer) {
    return raft.last_index.value() - std::min(peer.match, raft.last_index).value();
  });
  out->Family("dqueue_raft_peer_reachable", Type::kGauge,
              "1 if the member responded within an election timeout; leader.");
  of_peers([](const raft::MemberView& peer) { return uint64_t{peer.reachable}; });
}

void AddLoop(Exposition* out, const node::TurnTimes& turns) {
  out->Family("dqueue_loop_turn_seconds", Type::kHistogram,
              "Length of turns of the node's loop, and of each kind of work in them.");
  for (size_t i = 0; i < node::kTurnParts; ++i) {
    out->Sample(turns.parts[i], {{"kind", node::kTurnPartNames[i]}});
  }
  out->Family("dqueue_loop_longest_turn_seconds", Type::kGauge,
              "The longest turn since the start.");
  out->Sample(std::chrono::duration<double>(turns.longest).count());
}

void AddStorage(Exposition* out, const node::NodeMetrics& node) {
  const storage::LogStats& log = node.view.log;
  out->Family("dqueue_log_sync_seconds", Type::kHistogram, "Time to write and sync a batch.");
  out->Sample(log.sync_time);
  const auto one = [out](std::string_view name, Type type, std::string_view help, uint64_t value) {
    out->Family(name, type, help);
    out->Sample(value);
  };
  one("dqueue_log_written_bytes_total", Type::kCounter, "Bytes of records written to the log.",
      log.written_bytes);
  one("dqueue_log_entries_total", Type::kCounter, "Entries written to the log.", log.entries);
  one("dqueue_log_live_bytes", Type::kGauge, "Bytes of the log after the compaction point.",
      log.live_bytes);
  one("dqueue_log_segments", Type::kGauge, "Segment files.", log.segments);
  one("dqueue_snapshots_written_total", Type::kCounter, "Snapshots taken by this node.",
      node.snapshots_written);
  one("dqueue_snapshots_installed_total", Type::kCounter, "Snapshots received from a leader.",
      node.snapshots_installed);
  out->Family("dqueue_snapshot_faults_total", Type::kCounter,
              "Snapshots found damaged when sent, and chunks refused by the receiver.");
  out->Sample(node.snapshots_damaged, {{"kind", "damaged"}});
  out->Sample(node.snapshots_refused, {{"kind", "refused"}});
  one("dqueue_disk_free_bytes", Type::kGauge, "Free bytes on the data disk.", node.free_bytes);
  if (node.recovery_time) {
    out->Family("dqueue_recovery_duration_seconds", Type::kGauge,
                "Time from opening the node to having recovered its snapshot and log.");
    out->Sample(std::chrono::duration<double>(*node.recovery_time).count());
  }
  one("dqueue_disk_low", Type::kGauge,
      "1 while enqueues are refused for lack of disk space; leader.", node.view.raft.low_space);
}

// Without a limit, only what was counted.
void AddMemory(Exposition* out, const node::NodeMetrics& node) {
  const node::MemoryUse& use = node.memory;
  const std::pair<const char*, uint64_t> kinds[] = {
      {"jobs", use.state.live},   {"finished", use.state.finished},
      {"dead", use.state.dead},   {"ids", use.state.ids},
      {"names", use.state.names}, {"snapshot", use.state.image},
      {"spare", use.state.spare}, {"log", use.log},
      {"calls", use.calls},       {"other", use.resident - std::min(use.resident, use.counted())}};
  out->Family("dqueue_memory_bytes", Type::kGauge, "Memory by what it holds.");
  for (const auto& [kind, bytes] : kinds) out->Sample(bytes, {{"kind", kind}});
  out->Family("dqueue_memory_limit_bytes", Type::kGauge,
              "Memory that this node may use; 0: no limit.");
  out->Sample(use.limit);
  out->Family("dqueue_memory_low", Type::kGauge,
              "1 while enqueues are refused for lack of memory; leader.");
  out->Sample(uint64_t{node.view.raft.low_memory});
  const queue::Broker::Gauges& broker = node.view.broker;
  out->Family("dqueue_trimmed_total", Type::kCounter,
              "Finished jobs, dead jobs and ids removed before their time; leader.");
  out->Sample(broker.trimmed_finished, {{"kind", "finished"}});
  out->Sample(broker.trimmed_dead, {{"kind", "dead"}});
  out->Sample(broker.trimmed_ids, {{"kind", "ids"}});
}

void AddBroker(Exposition* out, const queue::Broker::Gauges& broker) {
  const auto gauge = [out](std::string_view name, std::string_view help, uint64_t value) {
    out->Family(name, Type::kGauge, help);
    out->Sample(value);
  };
  gauge("dqueue_leases", "Active leases; leader.", broker.leases);
  gauge("dqueue_waiting_lease_calls", "LeaseJobs calls waiting for a job; leader.",
        broker.waiting_leases);
  gauge("dqueue_waiting_reads", "Reads waiting for a confirmation round; leader.",
        broker.waiting_reads);
  gauge("dqueue_pending_commands", "Commands waiting for a batch; leader.",
        broker.pending_commands);
  gauge("dqueue_pending_bytes", "Bytes of the commands waiting for a batch; leader.",
        broker.pending_bytes);
}

// The queues that the leader counted first, and the sum of the rest.
void AddTimes(Exposition* out, const std::vector<queue::QueueTimes>& queues) {
  const auto of_queues = [&](const auto& add) {
    for (const queue::QueueTimes& queue : queues) {
      if (queue.queue.empty() && queue.dispatched == 0 &&
          std::all_of(queue.ended.begin(), queue.ended.end(), [](uint64_t n) { return n == 0; })) {
        continue;
      }
      add(queue, queue.queue.empty() ? std::string_view(kOtherQueues) : queue.queue);
    }
  };
  out->Family("dqueue_jobs_dispatched_total", Type::kCounter, "Leases granted by this node.");
  of_queues([out](const queue::QueueTimes& queue, std::string_view name) {
    out->Sample(queue.dispatched, {{"queue", name}});
  });
  out->Family("dqueue_job_wait_seconds", Type::kHistogram, "Time from ready to leased; leader.");
  of_queues([out](const queue::QueueTimes& queue, std::string_view name) {
    out->Sample(queue.waited, {{"queue", name}});
  });
  out->Family("dqueue_job_duration_seconds", Type::kHistogram,
              "Time from leased to completed; leader.");
  of_queues([out](const queue::QueueTimes& queue, std::string_view name) {
    out->Sample(queue.held, {{"queue", name}});
  });
  out->Family("dqueue_job_attempts_total", Type::kCounter, "Ended leases by outcome; leader.");
  constexpr std::pair<queue::AttemptEnd, const char*> kEnds[] = {
      {queue::AttemptEnd::kCompleted, "completed"},
      {queue::AttemptEnd::kFailed, "failed"},
      {queue::AttemptEnd::kRejected, "rejected"},
      {queue::AttemptEnd::kExpired, "expired"}};
  of_queues([&](const queue::QueueTimes& queue, std::string_view name) {
    for (const auto& [end, outcome] : kEnds) {
      out->Sample(queue.ended[static_cast<size_t>(end)], {{"queue", name}, {"outcome", outcome}});
    }
  });
}

void AddProcess(Exposition* out, const ProcessMetrics& process) {
  out->Family("dqueue_calls_admitted_total", Type::kCounter, "Calls with a valid key.");
  out->Sample(process.callers.allowed);
  out->Family("dqueue_calls_refused_total", Type::kCounter,
              "Calls refused: no key, an unknown or revoked key, or a missing scope.");
  out->Sample(process.callers.refused);
  out->Family("dqueue_calls_rejected_total", Type::kCounter,
              "Calls turned away: the node is too busy or too full, or they came too late.");
  for (size_t kind = 0; kind < process.rejections.size(); ++kind) {
    const auto name = queue::CallKindName(static_cast<queue::CallKind>(kind));
    for (size_t reason = 0; reason < Rejections::kReasons.size(); ++reason) {
      out->Sample(
          process.rejections[kind][reason],
          {{"kind", std::string(name)}, {"reason", std::string(Rejections::kReasons[reason])}});
    }
  }
  out->Family(
      "dqueue_http_work_bytes", Type::kGauge,
      "Bytes of requests and answers that HTTP is parsing or encoding, or that wait for it.");
  constexpr const char* kLaneNames[WorkPool::kLanes] = {"watch", "small", "large"};
  for (size_t i = 0; i < WorkPool::kLanes; ++i) {
    out->Sample(process.http.bytes[i], {{"lane", kLaneNames[i]}});
  }
  out->Family("dqueue_http_work_refused_total", Type::kCounter,
              "HTTP requests refused because too many waited.");
  out->Sample(process.http.refused);
  out->Family("process_start_time_seconds", Type::kGauge, "Unix time of the start.");
  out->Sample(process.start_time_seconds);
  out->Family("process_cpu_seconds_total", Type::kCounter, "User and system time.");
  out->Sample(process.cpu_seconds);
  out->Family("process_resident_memory_bytes", Type::kGauge, "Resident memory.");
  out->Sample(process.resident_bytes);
  out->Family("process_open_fds", Type::kGauge, "Open descriptors.");
  out->Sample(process.open_descriptors);
  out->Family("process_max_fds", Type::kGauge, "Limit of descriptors.");
  out->Sample(process.max_descriptors);
}

uint64_t CountDescriptors() {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir("/proc/self/fd"), ::closedir);
  if (directory == nullptr) return 0;
  uint64_t entries = 0;
  while (::readdir(directory.get()) != nullptr) ++entries;
  return entries < 3 ? 0 : entries - 3;  // ".", ".." and the descriptor of the directory
}

// The start of this process in Unix time.
double StartTime() {
  // Field 22 of stat: ticks since the machine's start. Field 2 is a name with any characters.
  std::ifstream stat("/proc/self/stat");
  std::string line;
  std::getline(stat, line);
  std::istringstream fields(line.substr(std::min(line.size(), line.rfind(')') + 1)));
  std::string field;
  for (int i = 3; i <= 22 && fields >> field; ++i) {
  }
  std::ifstream machine("/proc/stat");
  for (std::string key; machine >> key;) {
    if (key != "btime") continue;
    double boot = 0;
    machine >> boot;
    return boot + std::strtod(field.c_str(), nullptr) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  }
  return 0;
}

}  // namespace

ProcessMetrics ReadProcessMetrics() {
  static const double start_time = StartTime();
  ProcessMetrics out;
  out.start_time_seconds = start_time;
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  out.cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages >> pages;  // the second field: resident
  out.resident_bytes = pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  out.open_descriptors = CountDescriptors();
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  out.max_descriptors = limit.rlim_cur;
  return out;
}

std::string MetricsPage(const node::NodeMetrics& node, const ProcessMetrics& process) {
  Exposition out;
  out.Family("dqueue_build_info", Type::kGauge, "Always 1; the version and the node are labels.");
  out.Sample(uint64_t{1}, {{"version", DQUEUE_VERSION}, {"node", node.view.name}});
  AddQueues(&out, node);
  AddBroker(&out, node.view.broker);
  AddTimes(&out, node.times.queues());
  AddRaft(&out, node);
  AddLoop(&out, node.turns);
  AddStorage(&out, node);
  AddMemory(&out, node);
  AddProcess(&out, process);
  return out.Take();
}

}  // namespace dqueue::transport
