// Costs of commands, holds and images with a million waiting jobs (or as many as are asked for);
// bytes a job. Times are per job (items_per_second). Payloads of 256 bytes, ids of 36.
#include <malloc.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "queue/state/state_machine.h"
#include "queue/state/testing/command_builder.h"

namespace dqueue::queue {
namespace {

// The jobs that wait: DQUEUE_BENCHMARK_JOBS, for a short run that only shows that all works.
const int64_t kJobs = [] {
  const char* jobs = std::getenv("DQUEUE_BENCHMARK_JOBS");
  return jobs == nullptr ? 1000000 : std::max<int64_t>(std::atoll(jobs), 1000);
}();

constexpr int kBatch = 256;
constexpr size_t kPayloadBytes = 256;
constexpr size_t kIdBytes = 36;
constexpr int64_t kStartMs = 1700000000000;

// Of the shape of a UUIDv7: time first, then what looks random.
std::string IdOf(uint64_t number) {
  char text[40];
  const uint64_t noise = number * 0x9e3779b97f4a7c15;
  std::snprintf(text, sizeof text, "%08x-%04x-7%03x-%04x-%012llx",
                static_cast<unsigned>(number >> 16), static_cast<unsigned>(number & 0xffff),
                static_cast<unsigned>(noise >> 52), static_cast<unsigned>(noise & 0xffff),
                static_cast<unsigned long long>(noise >> 16));
  return std::string(text, kIdBytes);
}

std::string EnqueueBatch(uint64_t first, int count, int queues, int types) {
  BatchBuilder batch(kStartMs + static_cast<int64_t>(first / 1000));
  for (uint64_t i = first; i < first + static_cast<uint64_t>(count); ++i) {
    auto job = MakeJob(IdOf(i), "queue" + std::to_string(i % static_cast<uint64_t>(queues)),
                       "type" + std::to_string(i / 7 % static_cast<uint64_t>(types)));
    job.set_payload(std::string(kPayloadBytes, static_cast<char>(i)));
    batch.Enqueue(job);
  }
  return batch.Bytes();
}

void Apply(StateMachine& machine, const std::string& batch) {
  static Effects effects;
  machine.Apply(machine.applied_index().Next(), batch, &effects);
}

std::unique_ptr<StateMachine> Filled(uint64_t jobs, int queues = 1, int types = 1) {
  auto machine = std::make_unique<StateMachine>();
  for (uint64_t i = 0; i < jobs; i += kBatch) {
    Apply(*machine, EnqueueBatch(i, kBatch, queues, types));
  }
  return machine;
}

void BM_ApplyEnqueue(benchmark::State& state) {
  const auto base = static_cast<uint64_t>(state.range(0));
  const auto machine =
      Filled(base, static_cast<int>(state.range(1)), static_cast<int>(state.range(2)));
  uint64_t next = base;
  std::vector<std::string> batches;
  for (auto _ : state) {
    if (batches.empty()) {
      state.PauseTiming();
      for (int i = 0; i < 64; ++i) {
        batches.insert(batches.begin(), EnqueueBatch(next, kBatch, static_cast<int>(state.range(1)),
                                                     static_cast<int>(state.range(2))));
        next += kBatch;
      }
      state.ResumeTiming();
    }
    Apply(*machine, batches.back());
    batches.pop_back();
  }
  state.SetItemsProcessed(state.iterations() * kBatch);
}
BENCHMARK(BM_ApplyEnqueue)
    ->Args({0, 1, 1})
    ->Args({kJobs, 1, 1})
    ->Args({kJobs, 10, 10})
    ->Args({kJobs, 10000, 1})
    ->Iterations(kJobs / 500);

// Take and complete in turn, as a leader does, until a million jobs are gone.
void BM_TakeAndComplete(benchmark::State& state) {
  const auto machine = Filled(static_cast<uint64_t>(kJobs), static_cast<int>(state.range(0)),
                              static_cast<int>(state.range(1)));
  std::vector<std::string> queues;
  for (int i = 0; i < state.range(0) && i < 100; ++i) queues.push_back("queue" + std::to_string(i));
  LeaseToken token{1, 0};
  std::vector<JobRef> jobs;
  int64_t take_ns = 0;
  for (auto _ : state) {
    state.PauseTiming();
    jobs.clear();
    const auto before = std::chrono::steady_clock::now();
    machine->TakeReady(queues, {}, kBatch, &jobs);
    take_ns += (std::chrono::steady_clock::now() - before).count();
    BatchBuilder batch(kStartMs + 5000);
    for (const JobRef job : jobs) {
      ++token.sequence;
      batch.Complete(machine->View(job).id, token);
    }
    const std::string bytes = batch.Bytes();
    state.ResumeTiming();
    Apply(*machine, bytes);
  }
  state.SetItemsProcessed(state.iterations() * kBatch);
  state.counters["take_ns_per_job"] =
      static_cast<double>(take_ns) / static_cast<double>(state.iterations() * kBatch);
}
BENCHMARK(BM_TakeAndComplete)
    ->Args({1, 1})
    ->Args({100, 1})
    ->Args({10, 10})
    ->Iterations(kJobs / 500);

void BM_Fail(benchmark::State& state) {
  const auto machine = Filled(static_cast<uint64_t>(kJobs));
  const std::vector<std::string> queues = {"queue0"};
  LeaseToken token{1, 0};
  for (auto _ : state) {
    state.PauseTiming();
    std::vector<JobRef> jobs;
    machine->TakeReady(queues, {}, kBatch, &jobs);
    BatchBuilder batch(kStartMs + 5000);
    for (const JobRef job : jobs) {
      ++token.sequence;
      batch.Fail(machine->View(job).id, token, "connection refused", kStartMs + 60000);
    }
    const std::string bytes = batch.Bytes();
    state.ResumeTiming();
    Apply(*machine, bytes);
  }
  state.SetItemsProcessed(state.iterations() * kBatch);
}
BENCHMARK(BM_Fail)->Iterations(kJobs / 1000);

void BM_View(benchmark::State& state) {
  const auto machine = Filled(static_cast<uint64_t>(kJobs));
  uint32_t slot = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(machine->View(JobRef{slot}));
    slot = (slot + 7919) % static_cast<uint32_t>(kJobs);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_View);

void BM_SnapshotWrite(benchmark::State& state) {
  const auto machine = Filled(static_cast<uint64_t>(kJobs));
  std::string piece;
  uint64_t bytes = 0;
  for (auto _ : state) {
    machine->BeginSnapshot();
    bool more = true;
    while (more) {
      piece.clear();
      more = !machine->ContinueSnapshot(256 << 10, &piece);
      bytes += piece.size();
    }
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(machine->job_count()));
  state.SetBytesProcessed(static_cast<int64_t>(bytes));
}
BENCHMARK(BM_SnapshotWrite)->Unit(benchmark::kMillisecond);

void BM_Restore(benchmark::State& state) {
  const auto machine = Filled(static_cast<uint64_t>(kJobs));
  const std::string image = TakeImage(*machine);
  for (auto _ : state) {
    auto restored = std::make_unique<StateMachine>();
    const absl::Status status =
        Restore(image, machine->applied_index(), machine->Digest(), restored.get(), 1 << 20);
    if (!status.ok()) state.SkipWithError("not restored");
    state.PauseTiming();
    restored.reset();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(machine->job_count()));
}
BENCHMARK(BM_Restore)->Unit(benchmark::kMillisecond);

// Not a time: what a waiting job takes beside payload and id, as the allocator and as
// memory_bytes() see it.
void BM_Memory(benchmark::State& state) {
  double allocated = 0;
  double estimated = 0;
  for (auto _ : state) {
    const auto in_use = [] {
      const struct mallinfo2 info = mallinfo2();
      return info.uordblks + info.hblkhd;
    };
    const size_t before = in_use();
    const auto machine = Filled(static_cast<uint64_t>(state.range(0)));
    const auto jobs = static_cast<double>(machine->job_count());
    allocated = static_cast<double>(in_use() - before) / jobs - kPayloadBytes - kIdBytes;
    estimated = static_cast<double>(machine->memory_bytes()) / jobs - kPayloadBytes - kIdBytes;
  }
  state.counters["bytes_per_job"] = allocated;
  state.counters["estimated_bytes_per_job"] = estimated;
}
BENCHMARK(BM_Memory)->Arg(kJobs)->Iterations(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace dqueue::queue
