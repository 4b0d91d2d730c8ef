#include "node/formation.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "raft/raft.h"

namespace dqueue::node {
namespace {

constexpr size_t kMembersMax = 7;

uint64_t Mix(uint64_t x) {  // the finalizer of splitmix64
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9ULL;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

uint64_t HashText(std::string_view text, uint64_t seed) {
  uint64_t h = 0xcbf29ce484222325ULL ^ Mix(seed);
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return Mix(h);
}

std::string Names(const std::vector<raft::Member>& members) {
  std::vector<std::string> names;
  for (const raft::Member& member : members) names.push_back(member.name);
  std::sort(names.begin(), names.end());
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ",") + name;
  return out;
}

absl::Status CheckOwner(const Options& options, const storage::Identity& found) {
  if (found.node_name == options.name) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "data directory " + options.data_dir + " belongs to node \"" + found.node_name +
      "\", but this node's id is \"" + options.name + "\"; use another --data-dir or --id");
}

// The names in `directory` that a new node does not make before its log. "" if there is none.
absl::StatusOr<std::string> OtherNames(storage::FileSystem& fs, const std::string& directory) {
  constexpr size_t kNamesMax = 5;
  absl::StatusOr<bool> exists = fs.Exists(directory);
  if (!exists.ok()) return exists.status();
  if (!*exists) return std::string();
  absl::StatusOr<std::vector<storage::DirectoryEntry>> list = fs.List(directory);
  if (!list.ok()) return list.status();
  std::string out;
  size_t count = 0;
  for (const storage::DirectoryEntry& entry : *list) {
    if (entry.name == "LOCK" || entry.name == "wal") continue;
    if (++count <= kNamesMax) out += (out.empty() ? "" : ", ") + entry.name;
  }
  if (count > kNamesMax) out += " and " + std::to_string(count - kNamesMax) + " more";
  return out;
}

// True if the directory holds a snapshot: its log was there, too, once.
absl::StatusOr<bool> HoldsSnapshots(storage::FileSystem& fs, const std::string& snap) {
  absl::StatusOr<bool> exists = fs.Exists(snap);
  if (!exists.ok()) return exists.status();
  if (!*exists) return false;
  absl::StatusOr<std::vector<storage::DirectoryEntry>> list = fs.List(snap);
  if (!list.ok()) return list.status();
  return std::any_of(list->begin(), list->end(), [](const storage::DirectoryEntry& entry) {
    return std::string_view(entry.name).ends_with(".manifest");
  });
}

// Whether a new log may be formed in a directory that has none.
absl::Status CheckWithoutLog(const Options& options, storage::FileSystem& fs) {
  absl::StatusOr<bool> snapshots = HoldsSnapshots(fs, options.data_dir + "/snap");
  if (!snapshots.ok()) return snapshots.status();
  if (*snapshots) {
    return absl::DataLossError(options.data_dir +
                               "/wal: the log is gone, but snapshots of this node are there; put "
                               "the same log back, or use an empty --data-dir for a new cluster");
  }
  if (options.bootstrap) return absl::OkStatus();
  absl::StatusOr<std::string> names = OtherNames(fs, options.data_dir);
  if (!names.ok()) return names.status();
  return absl::NotFoundError(
      "data directory " + options.data_dir +
      (names->empty() ? " is empty" : " has no log (wal/), only " + *names) +
      "; start with --bootstrap to form a new cluster, or name the right --data-dir");
}

// The members of the newest configuration in the log.
absl::StatusOr<raft::Configuration> NewestConfiguration(const raft::Recovered& recovered) {
  const std::string& bytes = recovered.config_entries.empty()
                                 ? recovered.snapshot.config
                                 : *recovered.config_entries.back().payload;
  std::optional<raft::Configuration> config = raft::DecodeConfiguration(bytes);
  if (!config) return absl::DataLossError("the log's newest configuration cannot be decoded");
  return *std::move(config);
}

absl::Status CheckMembers(const Options& options, const raft::Configuration& wanted,
                          const raft::Configuration& found) {
  if (options.members.empty() && found.voters.size() > 1) return absl::OkStatus();
  const std::string wanted_names = Names(wanted.voters);
  const std::string found_names = Names(found.voters);
  if (wanted_names == found_names) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "data directory " + options.data_dir + " belongs to a cluster of the members " + found_names +
      ", but --peers names " + wanted_names + "; use the cluster's peers or another --data-dir");
}

}  // namespace

raft::ClusterId ClusterIdOf(const raft::Configuration& config, raft::Incarnation incarnation) {
  std::string text;
  for (const raft::Member& member : config.voters) {
    text += member.name + "=" + member.address + ",";
  }
  if (config.voters.size() == 1) text += std::to_string(incarnation.value());
  return {HashText(text, 1), HashText(text, 2)};
}

absl::StatusOr<raft::Configuration> ConfigurationOf(const Options& options) {
  std::vector<MemberSpec> members = options.members;
  if (members.empty()) members.push_back({options.name, ""});
  if (members.size() > kMembersMax) {
    return absl::InvalidArgumentError("--peers names " + std::to_string(members.size()) +
                                      " members; at most " + std::to_string(kMembersMax));
  }
  raft::Configuration config;
  for (const MemberSpec& spec : members) {
    config.voters.push_back(
        {raft::NodeIdOf(spec.name), spec.name, spec.address, raft::Incarnation()});
  }
  std::sort(config.voters.begin(), config.voters.end(),
            [](const raft::Member& a, const raft::Member& b) { return a.id < b.id; });
  for (size_t i = 1; i < config.voters.size(); ++i) {
    if (config.voters[i].id == config.voters[i - 1].id) {
      return absl::InvalidArgumentError("--peers: \"" + config.voters[i - 1].name + "\" and \"" +
                                        config.voters[i].name + "\" cannot both be members");
    }
  }
  if (!config.IsVoter(raft::NodeIdOf(options.name))) {
    return absl::InvalidArgumentError("--peers does not name this node, \"" + options.name + "\"");
  }
  return config;
}

absl::StatusOr<OpenedLog> OpenOrFormLog(const Options& options, storage::FileSystem& fs,
                                        uint64_t incarnation_seed) {
  absl::StatusOr<raft::Configuration> config = ConfigurationOf(options);
  if (!config.ok()) return config.status();
  const std::string wal = options.data_dir + "/wal";
  absl::StatusOr<bool> exists = storage::Log::Exists(fs, wal);
  if (!exists.ok()) return exists.status();

  OpenedLog out;
  if (!*exists) {
    if (absl::Status status = CheckWithoutLog(options, fs); !status.ok()) return status;
    storage::Identity identity;
    identity.node = raft::NodeIdOf(options.name);
    identity.node_name = options.name;
    identity.incarnation = raft::Incarnation(HashText(options.name, incarnation_seed) | 1);
    identity.cluster = ClusterIdOf(*config, identity.incarnation);
    const raft::HardState hard_state{raft::Term(1), raft::NodeId(), raft::Index(1)};
    absl::Status status = storage::Log::Format(fs, wal, identity, hard_state,
                                               {raft::BootstrapEntry(*config)}, options.log);
    if (!status.ok()) return status;
    out.formed = true;
  } else {
    absl::StatusOr<storage::Identity> identity = storage::Log::ReadIdentity(fs, wal);
    if (!identity.ok()) return identity.status();
    if (absl::Status status = CheckOwner(options, *identity); !status.ok()) return status;
  }

  absl::StatusOr<std::unique_ptr<storage::Log>> log =
      storage::Log::Open(fs, wal, options.log, &out.recovered);
  if (!log.ok()) return log.status();
  out.log = *std::move(log);
  if (out.recovered.damaged_from) {
    return absl::DataLossError(
        wal + ": an earlier version started this node with --recover=peers, and acknowledged " +
        "entries from index " + std::to_string(out.recovered.damaged_from->value()) +
        " on may be missing; leave this node stopped, keep its directory as it is, and run the "
        "other members");
  }
  absl::StatusOr<raft::Configuration> found = NewestConfiguration(out.recovered.raft);
  if (!found.ok()) return found.status();
  if (absl::Status status = CheckMembers(options, *config, *found); !status.ok()) return status;
  return out;
}

}  // namespace dqueue::node
