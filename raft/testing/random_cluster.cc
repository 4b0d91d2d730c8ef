#include "raft/testing/random_cluster.h"

#include <string>

#include "raft/testing/test_cluster.h"

namespace dqueue::raft::test {
namespace {

// Small limits, so that runs reach every one of them.
Options TightOptions(Random& random) {
  Options options;
  options.max_append_entries = 1 + random.Below(8);
  options.max_append_bytes = 100 + random.Below(1000);
  options.window_entries = options.max_append_entries * (1 + random.Below(4));
  options.window_bytes = options.max_append_bytes * (1 + random.Below(4));
  options.max_uncommitted_entries = 4 + random.Below(60);
  options.max_uncommitted_bytes = 200 + random.Below(5000);
  options.max_apply_bytes = 1 + random.Below(500);
  options.cache_bytes = random.Below(2000);
  options.max_pending_reads = 1 + random.Below(20);
  return options;
}

class RandomRun {
 public:
  explicit RandomRun(const Chaos& chaos)
      : chaos_(chaos), random_(Random::Mix(chaos.seed)), cluster_(MakeSetup()) {}

  ChaosReport Run() {
    for (int i = 0; i < chaos_.actions; ++i) {
      RandomAction();
      cluster_.RunFor(Duration(random_.Below(random_.Below(8) == 0 ? 800000 : 60000)));
    }
    Recover();
    ChaosReport report;
    report.committed = cluster_.acknowledged().size();
    report.confirmed_reads = confirmed_reads_;
    report.terms = cluster_.node(cluster_.leader()).status().term.value();
    report.snapshots_installed = snapshots_installed_;
    return report;
  }

 private:
  TestCluster::Setup MakeSetup() {
    TestCluster::Setup setup;
    setup.nodes = chaos_.nodes;
    setup.seed = chaos_.seed;
    setup.raft = TightOptions(random_);
    setup.disk_delay = Duration(10 + random_.Below(3000));
    setup.net_delay = Duration(10 + random_.Below(2000));
    setup.bound = random_.Below(3) == 0;
    return setup;
  }

  int AnyNode() { return 1 + static_cast<int>(random_.Below(static_cast<uint64_t>(chaos_.nodes))); }

  void ProposeSome(int node) {
    const uint64_t count = 1 + random_.Below(12);
    for (uint64_t i = 0; i < count; ++i) {
      cluster_.Propose(node,
                       "c" + std::to_string(next_command_++) + std::string(random_.Below(60), '.'));
    }
  }

  void RandomAction() {
    const int node = AnyNode();
    switch (random_.Below(28)) {
      case 0:
      case 1: {
        // A crash keeps a prefix of the pending writes.
        const size_t writes = cluster_.node(node).writes_under_way();
        cluster_.node(node).Crash(random_.Below(writes + 1));
        if (random_.Below(2) == 0) cluster_.ReportUnreachable(node);
        break;
      }
      case 2:
      case 3:
      case 22:
        for (int i = 1; i <= chaos_.nodes; ++i) {
          if (random_.Below(2) == 0) cluster_.node(i).Restart();
        }
        break;
      case 4: {
        for (int i = 1; i <= chaos_.nodes; ++i) {
          cluster_.node(i).Crash(random_.Below(2));
          if (random_.Below(3) != 0) cluster_.node(i).Restart();
        }
        break;
      }
      case 5:
        cluster_.Isolate(node);
        break;
      case 6:
        cluster_.Cut(node, AnyNode());
        break;
      case 7:
        cluster_.CutOneWay(node, AnyNode());
        break;
      case 8:
      case 9:
      case 23:
        cluster_.Heal();
        break;
      case 10:
        cluster_.loss = random_.Below(3) == 0 ? static_cast<double>(random_.Below(40)) / 100 : 0;
        cluster_.repeat = random_.Below(2) == 0 ? static_cast<double>(random_.Below(40)) / 100 : 0;
        break;
      case 11:
        cluster_.jitter = Duration(random_.Below(random_.Below(3) == 0 ? 400000 : 5000));
        break;
      case 12:
        cluster_.disk_jitter = Duration(random_.Below(random_.Below(4) == 0 ? 300000 : 5000));
        break;
      case 13:
        cluster_.node(node).StallDisk(random_.Below(2) == 0);
        break;
      case 14:
        cluster_.node(node).TakeSnapshot(random_.Below(10));
        break;
      case 15:
        cluster_.node(node).Step(Transfer{NodeId(random_.Below(2) == 0 ? 0 : AnyNode())});
        break;
      case 16:
        cluster_.node(node).Step(Capacity{random_.Below(3) == 0});
        break;
      case 17:
        cluster_.node(node).Step(PeerUnreachable{NodeId(AnyNode())});
        break;
      case 18:
        if (cluster_.node(node).up()) ProposeSome(node);
        break;
      case 19:
      case 20:
        for (int i = 1; i <= chaos_.nodes; ++i) {
          if (cluster_.node(i).up()) reads_.push_back(cluster_.Read(i));
        }
        break;
      default:
        for (int i = 1; i <= chaos_.nodes; ++i) {
          if (cluster_.node(i).up() && cluster_.node(i).status().role == Role::kLeader) {
            ProposeSome(i);
          }
        }
    }
  }

  void Recover() {
    cluster_.Heal();
    cluster_.loss = cluster_.repeat = 0;
    cluster_.jitter = cluster_.disk_jitter = Duration(0);
    for (int i = 1; i <= chaos_.nodes; ++i) {
      cluster_.node(i).StallDisk(false);
      cluster_.node(i).Restart();
      cluster_.node(i).Step(Capacity{false});
    }
    if (!cluster_.RunUntil([&] { return Serving(); }, 20s)) Fail("no leader after the faults");
    const auto proposed = [&] {
      const uint64_t id =
          cluster_.Propose(cluster_.AwaitLeader(), "last" + std::to_string(tries_++));
      cluster_.RunFor(200ms);
      return cluster_.proposal(id) &&
             cluster_.proposal(id)->kind == ProposalOutcome::Kind::kCommitted;
    };
    if (!cluster_.RunUntil(proposed, 20s)) Fail("no proposal succeeds after the faults");
    if (!cluster_.AwaitAgreement(20s)) Fail("the nodes do not agree after the faults");
    const uint64_t read = cluster_.Read(cluster_.AwaitLeader());
    const auto confirmed = [&] { return cluster_.read(read).has_value(); };
    if (!cluster_.RunUntil(confirmed, 5s) || !cluster_.read(read)->confirmed) {
      Fail("no read succeeds after the faults");
    }
    for (int i = 2; i <= chaos_.nodes; ++i) {
      if (cluster_.node(i).state() != cluster_.node(1).state()) Fail("states differ at the end");
    }
    // Every acknowledged command is in the state, in order.
    size_t found = 0;
    auto wanted = cluster_.acknowledged().begin();
    for (const std::string& command : cluster_.node(1).state()) {
      if (wanted == cluster_.acknowledged().end()) break;
      if (command == wanted->second) {
        ++found;
        ++wanted;
      }
    }
    if (found != cluster_.acknowledged().size()) Fail("an acknowledged command is lost");
    for (const uint64_t id : reads_) {
      if (cluster_.read(id) && cluster_.read(id)->confirmed) ++confirmed_reads_;
    }
    for (int i = 1; i <= chaos_.nodes; ++i) {
      snapshots_installed_ += cluster_.node(i).installs();
    }
  }

  bool Serving() {
    return cluster_.leader() != 0 && cluster_.node(cluster_.leader()).status().serving;
  }

  [[noreturn]] void Fail(const std::string& what) {
    throw Violation(what + "\n" + cluster_.Trace());
  }

  Chaos chaos_;
  Random random_;
  TestCluster cluster_;
  std::vector<uint64_t> reads_;
  int next_command_ = 0;
  int tries_ = 0;
  uint64_t confirmed_reads_ = 0;
  uint64_t snapshots_installed_ = 0;
};

}  // namespace

ChaosReport RunChaos(const Chaos& chaos) { return RandomRun(chaos).Run(); }

}  // namespace dqueue::raft::test
