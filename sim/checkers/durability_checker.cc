#include "sim/checkers/durability_checker.h"

#include <string>
#include <utility>
#include <variant>

#include "sim/checkers/violation.h"
#include "sim/sim_node.h"
#include "sim/world.h"

namespace dqueue::sim {
namespace {
constexpr char kRule[] = "R1 durable before sent";
}

DurabilityChecker::DurabilityChecker(World* world, uint64_t seed)
    : world_(world), random_(seed, "durability") {}

storage::LogReport DurabilityChecker::Inspect(const SimNode& node) {
  ++checks_;
  const std::unique_ptr<storage::FaultFileSystem> disk = const_cast<SimNode&>(node).disk().Clone();
  disk->CrashKeeping(false);
  absl::StatusOr<storage::LogReport> report =
      storage::InspectLog(*disk, node.wal_directory(), nullptr);
  if (!report.ok()) {
    Violate(kRule, node.name() + ": the synced log cannot be read: " +
                       std::string(report.status().message()));
  }
  if (report->damage) {
    Violate(kRule, node.name() + ": the synced log is damaged: " + report->damage->file + ":" +
                       std::to_string(report->damage->offset) + ": " + report->damage->reason);
  }
  return *std::move(report);
}

void DurabilityChecker::BeforeSend(const SimNode& node, const raft::Message& message) {
  const auto* vote = std::get_if<raft::VoteResponse>(&message.body);
  const auto* candidature = std::get_if<raft::VoteRequest>(&message.body);
  const auto* append = std::get_if<raft::AppendResponse>(&message.body);
  if (vote == nullptr && candidature == nullptr && append == nullptr) return;
  // Votes and vote requests are rare and critical, so a larger share of them is checked.
  const double chance = world_->profile().durability_check * (append == nullptr ? 10 : 1);
  if (!random_.Chance(chance) || node.damaged()) return;
  const storage::LogReport report = Inspect(node);
  const raft::HardState& durable = report.raft.hard_state;
  const std::string who =
      node.name() + " in term " + std::to_string(message.term.value()) + " sends ";
  const std::string has = ", but its disk has term " + std::to_string(durable.term.value()) +
                          ", vote n" + std::to_string(world_->NumberOf(durable.vote)) +
                          ", last index " + std::to_string(report.raft.last_index.value());
  if (durable.term < message.term) Violate(kRule, who + raft::Describe(message) + has);
  if (durable.term > message.term) return;  // a later term is already durable
  if (vote != nullptr && vote->granted && durable.vote != message.to) {
    Violate(kRule, who + raft::Describe(message) + has);
  }
  if (candidature != nullptr && durable.vote != node.id()) {
    Violate(kRule, who + raft::Describe(message) + has);
  }
  if (append != nullptr && append->success && report.raft.last_index < append->match) {
    Violate(kRule, who + raft::Describe(message) + has);
  }
}

void DurabilityChecker::OnLeaderCommit(const SimNode& node, raft::Term term, raft::Index durable) {
  if (!random_.Chance(world_->profile().durability_check) || node.damaged()) return;
  const storage::LogReport report = Inspect(node);
  if (report.raft.hard_state.term != term || report.raft.last_index < durable) {
    Violate("R3 own copy", node.name() + " leads term " + std::to_string(term.value()) +
                               " and counts its log up to " + std::to_string(durable.value()) +
                               ", but its disk has term " +
                               std::to_string(report.raft.hard_state.term.value()) + " up to " +
                               std::to_string(report.raft.last_index.value()));
  }
}

}  // namespace dqueue::sim
