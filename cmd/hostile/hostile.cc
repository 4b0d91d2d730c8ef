#include "cmd/hostile/hostile.h"

#include <signal.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_join.h"
#include "cmd/cluster/child_process.h"
#include "cmd/hostile/health_probe.h"
#include "cmd/hostile/http_client.h"
#include "cmd/hostile/node_metrics.h"
#include "cmd/hostile/run_files.h"

namespace dqueue::cmd {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kAnswerLimit{30000};
constexpr milliseconds kLookAgain{100};
constexpr milliseconds kWatchInterval{1000};
constexpr milliseconds kStopLimit{90000};
constexpr uint64_t kDiskFreeMin = uint64_t{4} << 30;
// So many that the load keeps its rate while a call takes no longer than its bound.
constexpr int kProducers = 64;
constexpr int kWorkers = 64;
constexpr int kAttackersNice = 10;

// Calls `done` until it returns true. False: not within kAnswerLimit.
bool Eventually(const std::function<bool()>& done) {
  for (const Clock::time_point end = Clock::now() + kAnswerLimit; Clock::now() < end;) {
    if (done()) return true;
    std::this_thread::sleep_for(kLookAgain);
  }
  return false;
}

// The child process with the attackers.
class Attackers {
 public:
  Attackers(const HostileOptions& options, const LocalCluster& cluster)
      : errors_(options.directory + "/attack.log") {
    std::vector<std::string> arguments = {SiblingProgram("dqueue-hostile"),
                                          "attack",
                                          "--server=" + absl::StrJoin(cluster.servers(), ","),
                                          "--http=" + absl::StrJoin(cluster.http_addresses(), ","),
                                          "--api-key-file=" + options.directory + "/hostile.key",
                                          "--reader-key-file=" + options.directory + "/reader.key",
                                          "--duration=24h"};
    if (!options.attacks.empty()) {
      arguments.push_back("--attacks=" + absl::StrJoin(options.attacks, ","));
    }
    const absl::StatusOr<pid_t> pid = StartChild({.arguments = arguments,
                                                  .output = AttackReport(options),
                                                  .errors = errors_,
                                                  .nice = kAttackersNice});
    if (pid.ok()) {
      pid_ = *pid;
    } else {
      problem_ = std::string(pid.status().message());
    }
  }
  ~Attackers() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
  }
  Attackers(const Attackers&) = delete;
  Attackers& operator=(const Attackers&) = delete;

  // Why the attackers are not running, or what they reported; empty: nothing is wrong.
  const std::string& problem() const { return problem_; }
  void Look() { Reap(WNOHANG); }
  // Waits until they have ended.
  void Stop() {
    if (pid_ <= 0) return;
    kill(pid_, SIGTERM);
    stopping_ = true;
    const Clock::time_point end = Clock::now() + kStopLimit;
    while (pid_ > 0 && Clock::now() < end) {
      Reap(WNOHANG);
      std::this_thread::sleep_for(kLookAgain);
    }
    if (pid_ > 0) problem_ = "the attackers did not stop";
  }

 private:
  void Reap(int flags) {
    int status = 0;
    if (pid_ <= 0 || waitpid(pid_, &status, flags) != pid_) return;
    pid_ = -1;
    const bool ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (stopping_ && ok) return;
    problem_ = "the attackers ended (" + HowItEnded(status) +
               "): " + std::string(absl::StripTrailingAsciiWhitespace(ReadRunFile(errors_)));
  }

  const std::string errors_;
  pid_t pid_ = -1;
  bool stopping_ = false;
  std::string problem_;
};

class HostileRun {
 public:
  HostileRun(const HostileOptions& options, LocalCluster* cluster,
             const std::function<bool(milliseconds)>& pause,
             const std::function<void(const std::string&)>& say)
      : options_(options), cluster_(*cluster), pause_(pause), say_(say) {}

  Findings Run() {
    if (!MakeKeys()) return std::move(findings_);
    findings_.term_before = Term();
    JobLedger ledger("normal-");
    CheckedLoad load(Load(), &ledger);
    say_("the normal load runs alone");
    pause_(options_.alone);
    findings_.alone = load.TakeLatencies();
    say_("the attackers run beside it");
    Attack();
    findings_.beside = load.TakeLatencies();
    findings_.term_after = Term();
    ReadMetrics();
    say_("completing the remaining jobs");
    load.Finish(options_.drain_limit);
    load.Verify(&cluster_, kAnswerLimit);
    findings_.ledger = ledger.report();
    for (const std::string& violation : findings_.ledger.violations) Problem(violation);
    return std::move(findings_);
  }

 private:
  void Problem(const std::string& problem) { findings_.problems.push_back(problem); }

  client::ClientOptions Access(const std::string& key) const {
    client::ClientOptions options;
    options.servers = cluster_.servers();
    options.api_key = key;
    return options;
  }

  // Makes the keys of the load and of the attackers, and waits until each node knows them.
  bool MakeKeys() {
    client::Client admin(Access(options_.admin_key));
    const auto make = [&](client::KeyOptions key) {
      const auto made = admin.CreateKey(key);
      if (!made.ok()) Problem("no key " + key.name + ": " + made.status.message);
      return made.value.secret;
    };
    normal_key_ = make({.name = "normal",
                        .owner_id = "normal",
                        .type = client::KeyType::kAdmin,
                        .scopes = {"jobs:submit", "jobs:read", "jobs:lease", "jobs:ack",
                                   "cluster:read", "metrics:read"},
                        .queues = {"normal"}});
    // Everything but cluster:manage: a transfer changes the leader because it is asked to.
    const std::string hostile =
        make({.name = "hostile",
              .owner_id = "hostile",
              .type = client::KeyType::kAdmin,
              .scopes = {"jobs:submit", "jobs:read", "jobs:lease", "jobs:ack", "queues:manage",
                         "keys:create", "keys:revoke", "keys:read", "cluster:read", "metrics:read"},
              .queues = {"hostile-*"}});
    const std::string reader =
        make({.name = "reader",
              .owner_id = "hostile",
              .type = client::KeyType::kAdmin,
              .scopes = {"jobs:read", "keys:read", "cluster:read", "metrics:read"}});
    if (!findings_.problems.empty()) return false;
    WriteKeyFile(options_.directory + "/hostile.key", hostile);
    WriteKeyFile(options_.directory + "/reader.key", reader);
    for (const std::string& key : {normal_key_, hostile, reader}) {
      client::Client client(Access(key));
      for (const std::string& server : cluster_.servers()) {
        if (!Eventually([&] { return client.GetCluster(server).ok(); })) {
          Problem(server + " does not accept a new key");
          return false;
        }
      }
    }
    return true;
  }

  LoadOptions Load() const {
    LoadOptions load;
    load.access = Access(normal_key_);
    load.queue = "normal";
    load.producers = kProducers;
    load.workers = kWorkers;
    load.batch = 1;
    load.rate = options_.rate;
    load.catch_up = true;
    return load;
  }

  // The highest term that a node is in.
  uint64_t Term() {
    client::Client client(Access(normal_key_));
    uint64_t term = 0;
    for (const std::string& server : cluster_.servers()) {
      const bool answered = Eventually([&] {
        const auto view = client.GetCluster(server);
        if (view.ok()) term = std::max(term, view.value.term);
        return view.ok();
      });
      if (!answered) Problem(server + " does not tell its term");
    }
    return term;
  }

  void Attack() {
    HealthProbe probe(cluster_.http_addresses());
    Attackers attackers(options_, cluster_);
    const Clock::time_point end = Clock::now() + options_.duration;
    for (std::string problem; Clock::now() < end && pause_(kWatchInterval);) {
      attackers.Look();
      problem = attackers.problem().empty() ? ReasonToStop() : attackers.problem();
      if (problem.empty()) continue;
      if (attackers.problem().empty()) Problem("the run ended early: " + problem);
      break;
    }
    probe.Stop();
    attackers.Stop();
    if (!attackers.problem().empty()) Problem(attackers.problem());
    findings_.health = probe.latencies();
    findings_.health_failed = probe.failed();
  }

  std::string ReasonToStop() {
    if (absl::Status status = cluster_.CheckAlive(); !status.ok()) {
      return std::string(status.message());
    }
    for (int i = 0; i < cluster_.size(); ++i) {
      const uint64_t bytes = cluster_.PeakMemoryBytes(i);
      if (bytes > options_.memory_max) {
        return cluster_.name(i) + " uses " + std::to_string(bytes >> 20) + " MiB of memory";
      }
    }
    struct statvfs disk = {};
    if (statvfs(options_.directory.c_str(), &disk) == 0 &&
        uint64_t{disk.f_bavail} * disk.f_frsize < kDiskFreeMin) {
      return "less than " + std::to_string(kDiskFreeMin >> 30) + " GiB of disk space are free";
    }
    return "";
  }

  void ReadMetrics() {
    const std::vector<std::string> addresses = cluster_.http_addresses();
    for (int i = 0; i < cluster_.size(); ++i) {
      NodeFindings node;
      node.name = cluster_.name(i);
      node.peak_bytes = cluster_.PeakMemoryBytes(i);
      std::string page;
      const bool answered = Eventually([&] {
        HttpAnswer answer = HttpClient(addresses[i], normal_key_)
                                .Call({.target = "/metrics"}, std::chrono::seconds(5));
        page = std::move(answer.body);
        return answer.status == 200;
      });
      if (!answered) Problem(node.name + " does not answer /metrics");
      AddMetrics(ParseMetrics(page), &node);
      findings_.nodes.push_back(std::move(node));
    }
  }

  static void AddMetrics(const std::vector<Sample>& samples, NodeFindings* node) {
    node->limit_bytes =
        static_cast<uint64_t>(ValueOf(samples, "dqueue_memory_limit_bytes").value_or(0));
    if (const auto longest = ValueOf(samples, "dqueue_loop_longest_turn_seconds")) {
      node->turns_known = true;
      node->longest_turn_ms = *longest * 1000;
    }
    for (const auto& [kind, seconds] :
         HighestBuckets(samples, "dqueue_loop_turn_seconds", "kind")) {
      node->turns_ms[kind] = seconds * 1000;
    }
    for (const Sample& sample : samples) {
      if (sample.name == "dqueue_calls_rejected_total" && sample.value > 0) {
        node->refused[sample.labels.at("kind") + " " + sample.labels.at("reason")] =
            static_cast<uint64_t>(sample.value);
      } else if (sample.name == "dqueue_http_work_refused_total" && sample.value > 0) {
        node->refused["HTTP"] = static_cast<uint64_t>(sample.value);
      }
    }
  }

  const HostileOptions& options_;
  LocalCluster& cluster_;
  const std::function<bool(milliseconds)>& pause_;
  const std::function<void(const std::string&)>& say_;
  std::string normal_key_;
  Findings findings_;
};

}  // namespace

std::string AttackReport(const HostileOptions& options) {
  return options.directory + "/attack.out";
}

Findings RunHostile(const HostileOptions& options, LocalCluster* cluster,
                    const std::function<bool(milliseconds)>& pause,
                    const std::function<void(const std::string&)>& say) {
  return HostileRun(options, cluster, pause, say).Run();
}

}  // namespace dqueue::cmd
