#include "cmd/hostile/attack_run.h"

#include <algorithm>
#include <memory>
#include <stop_token>
#include <thread>

#include "client/access.h"
#include "cmd/hostile/attacks/attacks.h"
#include "cmd/hostile/caller.h"

namespace dqueue::cmd {
namespace {

std::vector<const AttackKind*> Chosen(const AttackOptions& options) {
  std::vector<const AttackKind*> kinds;
  for (const AttackKind& kind : AllAttacks()) {
    const bool named = std::find(options.attacks.begin(), options.attacks.end(), kind.name) !=
                       options.attacks.end();
    if (!options.attacks.empty() && !named) continue;
    if (kind.grpc || !options.http_addresses.empty()) kinds.push_back(&kind);
  }
  return kinds;
}

// A node gave an answer of its own, if only a refusal.
bool IsAnswer(const std::string& outcome) {
  return !outcome.starts_with("no answer") && outcome != "not connected" &&
         outcome != "UNAVAILABLE";
}

}  // namespace

absl::Status CheckAttacks(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (FindAttack(name) != nullptr) continue;
    std::string known;
    for (const AttackKind& kind : AllAttacks()) known += std::string(" ") + kind.name;
    return absl::InvalidArgumentError("unknown attack \"" + name + "\"; there are" + known);
  }
  return absl::OkStatus();
}

void RunAttacks(const AttackOptions& options,
                const std::function<bool(std::chrono::milliseconds)>& stopped, Tally* tally) {
  const client::Access access = client::Access::From(options.access);
  client::ClientOptions reader_options = options.access;
  if (!options.reader_key.empty()) reader_options.api_key = options.reader_key;
  const client::Access reader = client::Access::From(reader_options);
  std::stop_source stop;
  std::vector<std::jthread> threads;
  size_t node = 0;
  for (const AttackKind* kind : Chosen(options)) {
    for (int i = 0; i < kind->callers; ++i, ++node) {
      CallerOptions caller;
      caller.attack = kind->name;
      caller.number = i;
      caller.address = options.access.servers[node % options.access.servers.size()];
      if (!options.http_addresses.empty()) {
        caller.http_address = options.http_addresses[node % options.http_addresses.size()];
      }
      caller.reads_only = kind->reads && !options.reader_key.empty() && i % 2 == 1;
      caller.obeys = i / 2 % 2 == 0;
      caller.access = caller.reads_only ? &reader : &access;
      caller.api_key = caller.reads_only ? options.reader_key : options.access.api_key;
      threads.emplace_back([caller, kind, tally, token = stop.get_token()] {
        const std::unique_ptr<Attack> attack = kind->make();
        Caller client(caller, token, tally);
        while (!client.stopping()) attack->Round(client);
      });
    }
  }
  stopped(options.duration);
  stop.request_stop();
  threads.clear();  // joins
}

absl::Status CheckTally(const AttackOptions& options, const Tally& tally) {
  const std::map<std::string, Tally::Row> rows = tally.rows();
  for (const AttackKind* kind : Chosen(options)) {
    const auto found = rows.find(kind->name);
    const auto answered = [&] {
      const auto& outcomes = found->second.outcomes;
      return std::any_of(outcomes.begin(), outcomes.end(),
                         [](const auto& outcome) { return IsAnswer(outcome.first); });
    };
    if (found == rows.end() || !answered()) {
      return absl::InternalError(std::string(kind->name) + ": no call was answered");
    }
    if (!found->second.illegal.empty()) {
      return absl::InternalError(std::string(kind->name) +
                                 ": a call was not legal: " + found->second.illegal);
    }
  }
  return absl::OkStatus();
}

}  // namespace dqueue::cmd
