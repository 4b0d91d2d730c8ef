// What the core itself costs: three cores in one thread, messages handed over as values, writes
// that are durable at once. No payload is copied on the way.
#include <benchmark/benchmark.h>

#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "raft/raft.h"
#include "raft/testing/fake_disk.h"

namespace dqueue::raft::test {
namespace {

class Trio {
 public:
  Trio() {
    for (uint64_t i = 0; i < cores_.size(); ++i) {
      // Holds the first entry; everything later is read from the cores' own memory.
      disks_[i] = std::make_unique<FakeDisk>(NodeId(i + 1), FirstIncarnation(NodeId(i + 1)));
      disks_[i]->Format(MakeConfiguration(3));
      cores_[i] = std::make_unique<Raft>(Options(), disks_[i]->Recover(), disks_[i].get(), i, now_);
    }
    while (!leader().status().serving) {
      now_ = std::max(now_, leader().Deadline());
      leader().Step(now_, Timeout{});
      Settle();
    }
    now_ += 60ms;
    leader().Step(now_, Timeout{});
    Settle();
  }

  Raft& leader() { return *cores_[0]; }
  uint64_t committed() const { return committed_; }
  uint64_t reads() const { return reads_; }

  void Propose(const Payload& payload) { leader().Step(now_, raft::Propose{++id_, payload}); }
  void Read() { leader().Step(now_, raft::Read{++id_}); }

  // Until nothing is left to do.
  void Settle() {
    for (bool busy = true; busy;) {
      busy = false;
      for (auto& core : cores_) {
        while (core->HasOutput()) {
          busy = true;
          Carry(*core, core->TakeOutput());
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

  void Carry(Raft& core, Output output) {
    Deliver(output.send_now);
    if (output.token != Token()) core.Step(now_, Persisted{output.token});
    Deliver(output.send_after_persist);
    if (!output.apply.empty()) core.Step(now_, Applied{output.apply.back().index});
    committed_ += output.proposals.size();
    reads_ += output.reads.size();
  }

  // As snapshots do, so that memory does not grow.
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

// Proposals of one turn travel together; items are proposals, through all three cores.
void BM_ProposeReplicateCommit(benchmark::State& state) {
  Trio trio;
  const Payload payload = Text(std::string(256, 'x'));
  for (auto _ : state) {
    for (int64_t i = 0; i < state.range(0); ++i) trio.Propose(payload);
    trio.Settle();
  }
  if (trio.committed() != static_cast<uint64_t>(state.iterations() * state.range(0))) {
    state.SkipWithError("not everything was committed");
  }
  state.SetItemsProcessed(static_cast<int64_t>(trio.committed()));
}
BENCHMARK(BM_ProposeReplicateCommit)->Arg(1)->Arg(16)->Arg(256);

void BM_ConfirmationRound(benchmark::State& state) {
  Trio trio;
  for (auto _ : state) {
    for (int64_t i = 0; i < state.range(0); ++i) trio.Read();
    trio.Settle();
  }
  if (trio.reads() != static_cast<uint64_t>(state.iterations() * state.range(0))) {
    state.SkipWithError("not every read was confirmed");
  }
  state.SetItemsProcessed(static_cast<int64_t>(trio.reads()));
}
BENCHMARK(BM_ConfirmationRound)->Arg(1)->Arg(64);

}  // namespace
}  // namespace dqueue::raft::test
