#include "sim/simulation.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "base/check.h"
#include "sim/clients/load.h"
#include "sim/nemesis.h"
#include "sim/world.h"

namespace dqueue::sim {
namespace {

// Far more than any delay, backoff or lease of the load, which last a few seconds each.
constexpr Duration kLivenessLimit = 180s;
constexpr Duration kAuditLimit = 60s;
constexpr Duration kPollInterval = 100ms;

class Simulation {
 public:
  Simulation(uint64_t seed, const Profile& profile, bool print)
      : world_(seed, profile, print),
        random_(seed, "phases"),
        load_(&world_, profile.load),
        nemesis_(&world_, profile.faults) {}

  ~Simulation() { world_.PowerOff(); }

  void Run() {
    Phase("safety");
    load_.Start();
    nemesis_.Start();
    world_.Run(world_.profile().safety);
    RunLiveness();
    RunAudit();
  }
  World& world() { return world_; }
  Load& load() { return load_; }

 private:
  void Phase(const char* name) { world_.Note({.kind = TraceKind::kPhase, .text = name}); }

  // Heals a majority or more of the nodes and stops or isolates the others. Every enqueue and every
  // job must then finish.
  void RunLiveness() {
    Phase("liveness");
    nemesis_.Stop();
    world_.StopFaults();
    std::vector<int> healthy;
    for (int i = 1; i <= world_.size(); ++i) {
      if (!world_.node(i).damaged()) healthy.push_back(i);
    }
    for (size_t i = healthy.size(); i > 1; --i)
      std::swap(healthy[i - 1], healthy[random_.Below(i)]);
    const auto enough = static_cast<uint64_t>(world_.majority());
    DQ_CHECK(healthy.size() >= enough);
    // A member that is not bound yet is bound by the leader that the bound ones elect (R12). So all
    // of them are needed.
    if (world_.AllBound()) healthy.resize(enough + random_.Below(healthy.size() - enough + 1));
    core_ = healthy;
    for (int i = 1; i <= world_.size(); ++i) {
      SimNode& node = world_.node(i);
      if (std::find(core_.begin(), core_.end(), i) != core_.end()) continue;
      node.RestartAutomatically(Duration(0));
      if (random_.Chance(0.5)) {
        node.Die(Death::kKill, "out of the liveness phase");
        node.StayDown(true);
      } else {
        world_.Isolate(i);
      }
    }
    for (const int a : core_) {
      SimNode& node = world_.node(a);
      node.StopDiskFaults();
      node.RestartAutomatically(100ms);
      node.Boot();
      for (const int b : core_) {
        if (a != b) world_.network().Heal(a, b);
      }
    }
    load_.StopProducing();
    load_.DrainJobs();
    const auto settled = [this] { return load_.Idle() && world_.jobs().live().empty(); };
    Time next_poll = world_.now();
    const bool done = world_.RunUntil(
        [&] {
          if (world_.now() < next_poll) return false;
          next_poll = world_.now() + kPollInterval;
          return settled();
        },
        kLivenessLimit);
    if (done) return;
    std::string left;
    for (const uint32_t slot : world_.jobs().live()) {
      const ModelJob& job = world_.jobs().jobs()[slot];
      left += " j" + std::to_string(job.number) + " (" + v1::JobState_Name(job.now.state) +
              " due in " + std::to_string(job.now.run_ms - world_.jobs().time_ms()) + " ms)";
      if (left.size() > 300) break;
    }
    Violate("L1 liveness", "leader n" + std::to_string(world_.Leader()) + ", producers " +
                               (load_.Idle() ? "idle" : "busy") + ", not finished:" + left);
  }

  // Restarts all undamaged nodes. They must reach the end of the ledger and have equal state.
  void RunAudit() {
    Phase("audit");
    load_.Stop();
    for (int i = 1; i <= world_.size(); ++i) {
      SimNode& node = world_.node(i);
      node.StopDiskFaults();
      node.RestartAutomatically(100ms);
      if (node.damaged()) continue;
      node.StayDown(false);
      node.Boot();
    }
    world_.network().HealAll();
    Time next_poll = world_.now();
    const bool done = world_.RunUntil(
        [&] {
          if (world_.now() < next_poll) return false;
          next_poll = world_.now() + kPollInterval;
          return Agreed();
        },
        kAuditLimit);
    if (!done) {
      std::string where;
      for (int i = 1; i <= world_.size(); ++i) {
        const SimNode& node = world_.node(i);
        where += " " + node.name() + ":" +
                 (node.up() ? std::to_string(node.node().state().applied_index().value())
                            : std::string(node.broken() ? "broken" : "down"));
      }
      Violate("L6 convergence", "the nodes do not catch up to " +
                                    std::to_string(world_.ledger().last().value()) + ":" + where);
    }
    for (int i = 1; i <= world_.size(); ++i) {
      if (!world_.node(i).damaged()) world_.answers().CompareAll(world_.node(i));
    }
  }

  bool Agreed() {
    const int leader = world_.Leader();
    if (leader == 0) return false;
    for (int i = 1; i <= world_.size(); ++i) {
      const SimNode& node = world_.node(i);
      if (node.damaged()) continue;
      if (!node.up() || node.node().state().applied_index() != world_.ledger().last()) return false;
    }
    return true;
  }

  World world_;
  RandomStream random_;
  Load load_;
  Nemesis nemesis_;
  std::vector<int> core_;
};

}  // namespace

RunReport RunSeed(uint64_t seed, const RunOptions& options) {
  const std::optional<Profile> profile = MakeProfile(options.profile, seed);
  DQ_CHECK_MSG(profile.has_value(), options.profile);
  RunReport report;
  report.seed = seed;
  report.summary = profile->Summary();
  auto run = std::make_unique<Simulation>(seed, *profile, options.print_trace);
  try {
    run->Run();
  } catch (const Violation& violation) {
    report.violation = violation;
  } catch (const CheckFailure& failure) {
    report.violation = Violation("DQ_CHECK", failure.text);
  }
  World& world = run->world();
  report.trace_hash = world.trace().hash();
  report.simulated = world.now().time_since_epoch();
  report.entries = world.ledger().last().value();
  report.jobs = world.jobs().jobs().size();
  report.acknowledged = world.answers().acknowledged();
  report.grants = world.grants().grants();
  report.repeated_deliveries = world.grants().repeated_deliveries();
  report.elections = world.elections().elections();
  report.durability_checks = world.durability().checks();
  if (report.violation) {
    report.tail = world.trace().Tail(options.tail_lines);
    // After a violation the destructors could fail too, so leak the simulation.
    run.release();
  }
  return report;
}

}  // namespace dqueue::sim
