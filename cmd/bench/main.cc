// dqueue-bench: measures throughput, latency and failover of a cluster.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/string_seam.h"
#include "cmd/bench/bench.h"
#include "cmd/cluster/child_process.h"
#include "cmd/flags/connection_flags.h"
#include "cmd/flags/flags.h"
#include "cmd/flags/process_start.h"
#include "cmd/flags/program.h"
#include "cmd/flags/text_output.h"

namespace dqueue::cmd {
namespace {

struct BenchFlags {
  ConnectionFlags connection{.servers = {}};
  BenchOptions options;
  int64_t cluster = 3;
  int64_t batch = options.batch;
  int64_t producers = options.producers;
  int64_t workers = options.workers;
  int64_t payload = options.payload_bytes;
  int64_t in_flight = options.in_flight;
  int64_t kills = options.kills;
  int64_t transfers = options.transfers;
  bool no_gather = false;
  std::string work_dir = "/tmp";
  std::string output = "table";
};

void AddBenchFlags(BenchFlags* flags, FlagTable* table) {
  AddConnectionFlags(&flags->connection,
                     "addresses of the cluster to measure; none: start one on loopback", table);
  // A variable for the command line must not send load to a cluster.
  table->RemoveVariables("server");
  table->Integer("cluster", &flags->cluster, 1, 7, "number of nodes to start (1 to 7)");
  table->Integer("jobs", &flags->options.jobs, 1, 100'000'000, "number of jobs");
  table->Integer("batch", &flags->batch, 1, 1000, "jobs per call (1 to 1000)");
  table->Integer("producers", &flags->producers, 1, 256, "threads that enqueue (1 to 256)");
  table->Integer("workers", &flags->workers, 1, 256, "threads that lease and complete (1 to 256)");
  table->Integer("payload", &flags->payload, 12, 1 << 20, "bytes of each payload (12 to 1048576)");
  table->Integer("outstanding", &flags->options.outstanding, 1000, 100'000'000,
                 "e2e: maximum of jobs enqueued and not completed");
  table->Integer("in-flight", &flags->in_flight, 1, 10000,
                 "enqueue: calls at the same time (1 to 10000)");
  table->Integer("transfers", &flags->transfers, 1, 10000,
                 "transfer: number of leadership transfers");
  table->Bool("no-gather", &flags->no_gather, "enqueue: send each job in its own call");
  table->Integer("kills", &flags->kills, 1, 10000,
                 "failover: number of times the leader is killed");
  table->Duration("timeout", &flags->options.timeout, {Millis(100), std::chrono::hours(1)},
                  "time limit of a call, retries included (100ms to 1h)");
  table->Text("work-dir", &flags->work_dir, "DIR", "parent of the nodes' temporary data directory");
  table->Choice("output", &flags->output, {"table", "json"}, "output format").Short("o");
}

const std::vector<std::string> kModes = {"e2e",      "enqueue",  "batches", "drain",
                                         "failover", "transfer", "all"};

std::string Help() {
  BenchFlags flags;
  FlagTable table;
  AddBenchFlags(&flags, &table);
  return "dqueue-bench: measures a cluster through the C++ SDK\n\n"
         "usage: dqueue-bench MODE [flags]\n\n"
         "  e2e       enqueue, lease and complete in batches at the same time\n"
         "  enqueue   enqueue one job per call, --in-flight calls at the same time\n"
         "  batches   enqueue in batches\n"
         "  drain     lease and complete in batches\n"
         "  failover  time from kill -9 of the leader to the next successful enqueue\n"
         "  transfer  longest enqueue of --producers threads around a leadership transfer\n"
         "  all       all of these modes\n\n"
         "  dqueue-bench e2e --jobs 1000000\n"
         "  dqueue-bench enqueue --in-flight 1 --jobs 5000 --server 10.0.0.1:9090\n\n"
         "Without --server it starts its own nodes on loopback. Latencies are those of jobs "
         "(e2e),\n"
         "calls (enqueue), batches (batches, drain), failovers or transfers. SERVER CPU (all "
         "nodes\n"
         "together) and CLIENT CPU (this program) are CPU-seconds per million jobs.\n\n"
         "flags:\n" +
         table.Help() +
         "  --help, --version\n\n"
         "SIGTERM, SIGINT, SIGQUIT and SIGHUP end it and its nodes; the exit status is 128 + "
         "signal.\n\n"
         "exit status: 0 success; 1 error; 2 usage; 9 jobs were lost;\n"
         "74 standard output cannot be written; 78 a malformed variable\n";
}

std::string Decimal(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

void PrintTable(const std::vector<BenchResult>& results) {
  TextTable table({"MODE", "JOBS", "SECONDS", "JOBS/S", "P50 MS", "P99 MS", "MAX MS", "SERVER CPU",
                   "CLIENT CPU", "LOST", "REPEATED"});
  for (const BenchResult& r : results) {
    table.Row({r.mode, Grouped(r.jobs), Decimal(r.seconds, 2),
               Grouped(static_cast<uint64_t>(r.rate)), Decimal(r.p50_ms, 2), Decimal(r.p99_ms, 2),
               Decimal(r.max_ms, 2),
               r.server_cpu_per_million < 0 ? "-" : Decimal(r.server_cpu_per_million, 1),
               Decimal(r.client_cpu_per_million, 1), Grouped(r.lost), Grouped(r.repeated)});
  }
  std::fputs(table.ToString().c_str(), stdout);
}

void PrintJson(const std::vector<BenchResult>& results) {
  JsonWriter json;
  json.BeginObject().BeginArray("results");
  for (const BenchResult& r : results) {
    json.BeginObject()
        .Text("mode", r.mode)
        .Unsigned("jobs", r.jobs)
        .Real("seconds", r.seconds)
        .Real("jobs_per_second", r.rate)
        .Real("p50_ms", r.p50_ms)
        .Real("p99_ms", r.p99_ms)
        .Real("max_ms", r.max_ms);
    if (r.server_cpu_per_million < 0) {
      json.Null("server_cpu_seconds_per_million");
    } else {
      json.Real("server_cpu_seconds_per_million", r.server_cpu_per_million);
    }
    json.Real("client_cpu_seconds_per_million", r.client_cpu_per_million)
        .Unsigned("lost", r.lost)
        .Unsigned("repeated", r.repeated)
        .Text("problem", r.problem)
        .EndObject();
  }
  std::puts(json.EndArray().EndObject().Take().c_str());
}

std::vector<BenchResult> Measure(const std::string& mode, const BenchOptions& options) {
  std::vector<BenchResult> results;
  const bool all = mode == "all";
  if (all || mode == "e2e") results.push_back(RunEndToEnd(options));
  if (all || mode == "batches") results.push_back(RunEnqueueBatches(options));
  if (all || mode == "drain") results.push_back(RunDrain(options));
  if (all) {
    BenchOptions one = options;
    one.in_flight = 1;
    one.jobs = std::min<int64_t>(options.jobs, 5000);
    results.push_back(RunEnqueue(one));
    BenchOptions unary = options;
    unary.gather = false;
    unary.jobs = std::min<int64_t>(options.jobs, 50000);
    results.push_back(RunEnqueue(unary));
  }
  if (all || mode == "enqueue") results.push_back(RunEnqueue(options));
  if (mode == "failover" || (all && options.cluster != nullptr)) {
    results.push_back(RunFailover(options));
  }
  if (mode == "transfer" || (all && options.access.servers.size() > 1)) {
    results.push_back(RunTransfer(options));
  }
  return results;
}

// Returns the mode, e2e by default. INVALID_ARGUMENT: there is no such mode.
absl::StatusOr<std::string> ModeOf(const std::vector<std::string>& positionals) {
  const std::string mode = positionals.empty() ? "e2e" : positionals[0];
  if (std::find(kModes.begin(), kModes.end(), mode) != kModes.end()) return mode;
  const std::string nearest = Nearest(mode, kModes);
  return absl::InvalidArgumentError(
      "unknown mode " + Quoted(mode) +
      (nearest.empty() ? "; see --help" : "; did you mean " + nearest + "?"));
}

// Why these flags cannot be combined; empty if they can.
std::string CombinationProblem(const BenchFlags& flags, const FlagTable& table,
                               const std::string& mode) {
  const bool own_cluster = flags.connection.servers.empty();
  if (!own_cluster && table.Given("cluster")) return "--server and --cluster exclude each other";
  if (!own_cluster && mode == "failover") {
    return "failover kills nodes, so it needs its own nodes instead of --server";
  }
  if (mode == "failover" && flags.cluster < 3) return "failover needs --cluster 3 or more";
  if (mode == "transfer" && own_cluster && flags.cluster < 2) {
    return "transfer needs --cluster 2 or more";
  }
  return "";
}

// Narrows the integers that the flag table holds as int64_t; their ranges fit an int.
void CopyToOptions(const BenchFlags& flags, BenchOptions* options) {
  options->batch = static_cast<int>(flags.batch);
  options->producers = static_cast<int>(flags.producers);
  options->workers = static_cast<int>(flags.workers);
  options->payload_bytes = static_cast<int>(flags.payload);
  options->in_flight = static_cast<int>(flags.in_flight);
  options->kills = static_cast<int>(flags.kills);
  options->transfers = static_cast<int>(flags.transfers);
  options->gather = !flags.no_gather;
}

// The nodes that this program starts, and their data.
struct OwnCluster {
  std::unique_ptr<TemporaryDirectory> directory;  // outlives the nodes
  std::unique_ptr<LocalCluster> nodes;
};

// A stop signal removes the directory and ends the process.
absl::StatusOr<OwnCluster> StartOwnCluster(const BenchFlags& flags) {
  OwnCluster own;
  auto directory = TemporaryDirectory::Make(flags.work_dir);
  if (!directory.ok()) return directory.status();
  own.directory = *std::move(directory);
  CleanUpOnStopSignal([path = own.directory->path()] {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  });
  auto started = LocalCluster::Start({.nodes = static_cast<int>(flags.cluster),
                                      .program = SiblingProgram("dqueue"),
                                      .directory = own.directory->path()});
  if (!started.ok()) return started.status();
  own.nodes = *std::move(started);
  return own;
}

// Prints the problems of the results. Returns the exit status.
int Judge(const Program& program, const std::vector<BenchResult>& results) {
  int code = kExitOk;
  for (const BenchResult& result : results) {
    if (result.problem.empty()) continue;
    code = program.Complain(result.lost > 0 ? kExitVerifyFailed : kExitGeneric,
                            result.mode + ": " + result.problem);
  }
  return code;
}

int Run(const std::vector<std::string>& args, const Environment& environment) {
  const Program program("dqueue-bench");
  BenchFlags flags;
  FlagTable table;
  AddBenchFlags(&flags, &table);
  const Start start = ReadCommandLine(args, environment, /*positionals_max=*/1, &table);
  if (std::optional<int> code = program.Answer(start, Help)) return *code;
  program.Warn(table.warnings());
  const absl::StatusOr<std::string> mode = ModeOf(table.positionals());
  if (!mode.ok()) return program.Complain(kExitUsage, std::string(mode.status().message()));
  const std::string problem = CombinationProblem(flags, table, *mode);
  if (!problem.empty()) return program.Complain(kExitUsage, problem);

  BenchOptions& options = flags.options;
  OwnCluster own;
  if (flags.connection.servers.empty()) {
    absl::StatusOr<OwnCluster> started = StartOwnCluster(flags);
    if (!started.ok()) {
      return program.ComplainAtLength(kExitGeneric, StdView(started.status().message()));
    }
    own = *std::move(started);
    options.cluster = own.nodes.get();
    options.access.servers = own.nodes->servers();
  } else if (absl::Status status = Connect(flags.connection, &options.access); !status.ok()) {
    return program.Complain(table.Attributed({kExitUsage, std::string(status.message())}));
  } else {
    CleanUpOnStopSignal([] {});
  }
  CopyToOptions(flags, &options);

  const std::vector<BenchResult> results = Measure(*mode, options);
  flags.output == "json" ? PrintJson(results) : PrintTable(results);
  int code = Judge(program, results);
  if (own.nodes) {
    if (absl::Status status = own.nodes->CheckAlive(); !status.ok()) {
      code = program.ComplainAtLength(kExitGeneric, StdView(status.message()));
    }
  }
  return FinishOutput() ? code : kExitIo;
}

}  // namespace
}  // namespace dqueue::cmd

int main(int argc, char** argv) {
  return dqueue::cmd::RunProgram(argc, argv, dqueue::cmd::StopSignals::kBlocked, dqueue::cmd::Run);
}
