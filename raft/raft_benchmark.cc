// CPU cost of the core: three cores in one thread, messages passed as values, writes durable at
// once. Payloads are not copied.
#include <benchmark/benchmark.h>

#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "raft/raft.h"
#include "raft/testing/fake_disk.h"

namespace dqueue::raft::test {
namespace {

class ThreeCores {
 public:
  ThreeCores() {
    for (uint64_t i = 0; i < cores_.size(); ++i) {
      // The disk holds only the first entry; later entries stay in the cores' memory.
      disks_[i] = std::make_unique<FakeDisk>(NodeId(i + 1), FirstIncarnation(NodeId(i + 1)));
      disks_[i]->Format(MakeConfiguration(3));
      cores_[i] = std::make_unique<Raft>(Options(), disks_[i]->Recover(), disks_[i].get(), i, now_);
    }
    while (!leader().status().serving) {
      now_ = std::max(now_, leader().Deadline());
      leader().Step(now_, Timeout{});
      RunUntilIdle();
    }
    now_ += 60ms;
    leader().Step(now_, Timeout{});
    RunUntilIdle();
  }

  Raft& leader() { return *cores_[0]; }
  uint64_t committed() const { return committed_; }
  uint64_t reads() const { return reads_; }

  void Propose(const Payload& payload) { leader().Step(now_, raft::Propose{++id_, payload}); }
  void Read() { leader().Step(now_, raft::Read{++id_}); }

  // Runs all cores until no output is left.
  void RunUntilIdle() {
    for (bool busy = true; busy;) {
      busy = false;
      for (auto& core : cores_) {
        while (core->HasOutput()) {
          busy = true;
          HandleOutput(*core, core->TakeOutput());
        }
      }
    }
    Compact();
  }

 private:
  void Deliver(std::vector<Message>& messages) {
    for (Message& message : messages) {
      cores_[message.to.value() - 1]->Step(now_, Receive{std::move(message)});
    }
  }

  void HandleOutput(Raft& core, Output output) {
    Deliver(output.send_now);
    if (output.token != Token()) core.Step(now_, Persisted{output.token});
    Deliver(output.send_after_persist);
    if (!output.apply.empty()) core.Step(now_, Applied{output.apply.back().index});
    committed_ += output.proposals.size();
    reads_ += output.reads.size();
  }

  // Compacts as a snapshot would, to bound memory.
  void Compact() {
    if (committed_ < compacted_ + 20000) return;
    compacted_ = committed_;
    for (auto& core : cores_) {
      const Index applied = core->GetView().applied;
      core->Step(now_, SnapshotTaken{.meta = {.index = applied,
                                              .term = core->TermAt(applied),
                                              .config = core->EncodedConfigAt(applied)},
                                     .compact_to = Index(applied.value() - 1000)});
    }
  }

  Time now_ = Time(1s);
  std::array<std::unique_ptr<FakeDisk>, 3> disks_;
  std::array<std::unique_ptr<Raft>, 3> cores_;
  uint64_t id_ = 0;
  uint64_t committed_ = 0;
  uint64_t compacted_ = 0;
  uint64_t reads_ = 0;
};

// Proposals of one iteration share messages. An item is one proposal, replicated by all three
// cores.
void BM_ProposeReplicateCommit(benchmark::State& state) {
  ThreeCores cores;
  const Payload payload = Text(std::string(256, 'x'));
  for (auto _ : state) {
    for (int64_t i = 0; i < state.range(0); ++i) cores.Propose(payload);
    cores.RunUntilIdle();
  }
  if (cores.committed() != static_cast<uint64_t>(state.iterations() * state.range(0))) {
    state.SkipWithError("not everything was committed");
  }
  state.SetItemsProcessed(static_cast<int64_t>(cores.committed()));
}
BENCHMARK(BM_ProposeReplicateCommit)->Arg(1)->Arg(16)->Arg(256);

void BM_ConfirmationRound(benchmark::State& state) {
  ThreeCores cores;
  for (auto _ : state) {
    for (int64_t i = 0; i < state.range(0); ++i) cores.Read();
    cores.RunUntilIdle();
  }
  if (cores.reads() != static_cast<uint64_t>(state.iterations() * state.range(0))) {
    state.SkipWithError("not every read was confirmed");
  }
  state.SetItemsProcessed(static_cast<int64_t>(cores.reads()));
}
BENCHMARK(BM_ConfirmationRound)->Arg(1)->Arg(64);

}  // namespace
}  // namespace dqueue::raft::test
