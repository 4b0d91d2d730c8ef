// dqueue-sim runs the simulated cluster for a range of seeds. dqueue-sim-mutants can also activate
// deliberate bugs. Exit codes:
//   0  no seed broke a rule; with --all-mutants or --recorded: each mutant broke a rule
//   1  a seed broke a rule; with --all-mutants or --recorded: some mutant broke none
//   2  bad usage or unreadable file
#include <chrono>
#include <cstdio>
#include <fstream>
#include <functional>
#include <iostream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "sim/mutants.h"
#include "sim/seed_pool.h"

namespace dqueue::sim {
namespace {

constexpr char kUsage[] =
    "usage: dqueue-sim [--seeds A..B | --seed N] [--profile NAME] [--jobs N]\n"
    "                  [--time-limit SECONDS] [--keep-going] [--trace] [--list-profiles]\n"
    "       dqueue-sim-mutants --mutant NAME … | --all-mutants [--write FILE] | --recorded FILE |\n"
    "                          --list-mutants\n";

struct Flags {
  PoolOptions pool;
  std::string mutant;
  bool all_mutants = false;
  std::string recorded;
  std::string write;
  bool list_mutants = false;
  bool list_profiles = false;
  bool help = false;
};

// Returns an empty text, or a description of the first error.
std::string Parse(const std::vector<std::string>& args, Flags* flags) {
  flags->pool.seeds = {1, 100};
  for (size_t i = 0; i < args.size(); ++i) {
    const std::string& arg = args[i];
    if (arg == "--trace") {
      flags->pool.run.print_trace = true;
      continue;
    }
    if (arg == "--keep-going") {
      flags->pool.stop_at_first = false;
      continue;
    }
    if (arg == "--all-mutants") {
      flags->all_mutants = true;
      continue;
    }
    if (arg == "--list-mutants") {
      flags->list_mutants = true;
      continue;
    }
    if (arg == "--list-profiles") {
      flags->list_profiles = true;
      continue;
    }
    if (arg == "--help" || arg == "-h") {
      flags->help = true;
      continue;
    }
    if (i + 1 == args.size()) return "unknown flag or missing value: " + arg;
    const std::string& value = args[++i];
    if (arg == "--seeds" || arg == "--seed") {
      const std::optional<SeedRange> range = ParseSeeds(value);
      if (!range) return arg + " must be N or A..B, not \"" + value + "\"";
      flags->pool.seeds = *range;
    } else if (arg == "--profile") {
      if (!MakeProfile(value, 1)) return "no profile \"" + value + "\"; see --list-profiles";
      flags->pool.run.profile = value;
    } else if (arg == "--jobs" || arg == "--time-limit") {
      const std::optional<SeedRange> number = ParseSeeds(value);
      if (!number || number->first < 1 || number->first > 100000) {
        return arg + " must be 1 to 100000, not \"" + value + "\"";
      }
      if (arg == "--jobs") {
        flags->pool.jobs = static_cast<int>(number->first);
      } else {
        flags->pool.time_limit_s = static_cast<int64_t>(number->first);
      }
    } else if (arg == "--mutant") {
      if (FindMutant(value) == nullptr) return "no mutant \"" + value + "\"; see --list-mutants";
      flags->mutant = value;
    } else if (arg == "--recorded") {
      if (value.empty()) return "--recorded must name a file";
      flags->recorded = value;
    } else if (arg == "--write") {
      flags->write = value;
    } else {
      return "unknown flag " + arg;
    }
  }
  return "";
}

double SecondsSince(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

int RunClean(const Flags& flags) {
  const auto begin = std::chrono::steady_clock::now();
  const PoolResult result = RunSeeds(flags.pool, nullptr);
  const double seconds = SecondsSince(begin);
  for (const PoolResult::Failure& failure : result.failures)
    std::printf("%s\n", failure.text.c_str());
  const double simulated = static_cast<double>(result.simulated.count()) / 1e6;
  std::printf(
      "%llu seeds, %.0f simulated seconds in %.1f s: %.1f seeds/s, %.0f simulated s/s; "
      "%llu entries, %llu jobs, %llu acknowledgements, %llu leases (%llu repeated), %llu "
      "elections, "
      "%llu durability checks; trace hash %016llx; %zu failed\n",
      static_cast<unsigned long long>(result.seeds), simulated, seconds,
      static_cast<double>(result.seeds) / seconds, simulated / seconds,
      static_cast<unsigned long long>(result.entries), static_cast<unsigned long long>(result.jobs),
      static_cast<unsigned long long>(result.acknowledged),
      static_cast<unsigned long long>(result.grants),
      static_cast<unsigned long long>(result.repeated_deliveries),
      static_cast<unsigned long long>(result.elections),
      static_cast<unsigned long long>(result.durability_checks),
      static_cast<unsigned long long>(result.trace_hash), result.failures.size());
  return result.failures.empty() ? 0 : 1;
}

PoolResult RunMutant(const Mutant* mutant, PoolOptions pool) {
  pool.stop_at_first = true;
  return RunSeeds(pool, [mutant] { Activate(mutant); });
}

int RunOneMutant(const Flags& flags) {
  const PoolResult result = RunMutant(FindMutant(flags.mutant), flags.pool);
  if (result.failures.empty()) {
    std::printf("%s survives %llu seeds\n", flags.mutant.c_str(),
                static_cast<unsigned long long>(result.seeds));
    return 0;
  }
  std::printf("%s\n", result.failures.front().text.c_str());
  return 1;
}

// Prints the table of MUTANTS.md. Writes the seeds to the file of --write.
int RunAllMutants(const Flags& flags) {
  std::ofstream out;
  if (!flags.write.empty()) out.open(flags.write);
  int survivors = 0;
  for (const Mutant* const mutant : AllMutants()) {
    PoolOptions pool = flags.pool;
    pool.jobs = 1;  // finds the lowest seed that shows the mutant
    const PoolResult result = RunMutant(mutant, pool);
    if (result.failures.empty()) {
      ++survivors;
      std::printf("| %s | survives | |\n", mutant->name);
    } else {
      const PoolResult::Failure& failure = result.failures.front();
      std::printf("| %s | %llu | %s |\n", mutant->name,
                  static_cast<unsigned long long>(failure.seed), failure.rule.c_str());
      if (out.is_open()) {
        out << mutant->name << " " << flags.pool.run.profile << " " << failure.seed << "\n";
      }
    }
    std::fflush(stdout);
  }
  return survivors == 0 ? 0 : 1;
}

// No seed detects this mutant: a node gives its broker no reads before it serves.
constexpr std::string_view kUndetected = "kReadBeforeNoop";

int RunRecorded(const Flags& flags) {
  std::ifstream in(flags.recorded);
  if (!in) {
    std::fprintf(stderr, "cannot read %s\n", flags.recorded.c_str());
    return 2;
  }
  int survivors = 0;
  std::set<std::string> named;
  std::string line;
  while (std::getline(in, line)) {
    std::istringstream words(line);
    std::string name;
    std::string profile;
    uint64_t seed = 0;
    if (!(words >> name >> profile)) continue;
    named.insert(name);
    if (profile == "none" && name == kUndetected) continue;
    if (!(words >> seed)) {
      std::fprintf(stderr, "%s: expected \"MUTANT PROFILE SEED\": %s\n", flags.recorded.c_str(),
                   line.c_str());
      return 2;
    }
    const Mutant* const mutant = FindMutant(name);
    if (mutant == nullptr || !MakeProfile(profile, 1)) {
      std::fprintf(stderr, "%s: no such mutant or profile: %s\n", flags.recorded.c_str(),
                   line.c_str());
      return 2;
    }
    PoolOptions pool = flags.pool;
    pool.seeds = {seed, seed};
    pool.jobs = 1;
    pool.run.profile = profile;
    const PoolResult result = RunMutant(mutant, pool);
    const bool killed = !result.failures.empty();
    survivors += killed ? 0 : 1;
    std::printf("%s at seed %llu: %s\n", name.c_str(), static_cast<unsigned long long>(seed),
                killed ? result.failures.front().rule.c_str() : "SURVIVES");
    std::fflush(stdout);
  }
  for (const Mutant* const mutant : AllMutants()) {
    if (named.contains(mutant->name)) continue;
    ++survivors;
    std::printf("%s: has no line in %s\n", mutant->name, flags.recorded.c_str());
  }
  return survivors == 0 ? 0 : 1;
}

int Main(const std::vector<std::string>& args) {
  Flags flags;
  if (const std::string problem = Parse(args, &flags); !problem.empty()) {
    std::fprintf(stderr, "%s\n%s", problem.c_str(), kUsage);
    return 2;
  }
  if (flags.help) {
    std::printf("%s", kUsage);
    return 0;
  }
  if (flags.list_profiles) {
    for (const std::string_view name : ProfileNames()) {
      std::printf("%s\n", std::string(name).c_str());
    }
    return 0;
  }
  if (flags.list_mutants) {
    for (const Mutant* const mutant : AllMutants()) {
      std::printf("%s: %s\n", mutant->name, mutant->bug);
    }
    return 0;
  }
  if (!flags.mutant.empty() || flags.all_mutants || !flags.recorded.empty()) {
    if (!Activate(nullptr)) {
      std::fprintf(stderr, "this program was built without mutants; use dqueue-sim-mutants\n");
      return 2;
    }
    if (!flags.mutant.empty()) return RunOneMutant(flags);
    return flags.all_mutants ? RunAllMutants(flags) : RunRecorded(flags);
  }
  return RunClean(flags);
}

}  // namespace
}  // namespace dqueue::sim

int main(int argc, char** argv) {
  return dqueue::sim::Main(std::vector<std::string>(argv + 1, argv + argc));
}
