#include "raft/config.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "base/check.h"
#include "base/random.h"

namespace dqueue::raft {
namespace {

constexpr char kFormatVersion = 1;
// An id, an incarnation and the lengths of two empty strings.
constexpr size_t kMemberBytesMin = 8 + 8 + 4 + 4;

const Member* FindIn(const std::vector<Member>& set, NodeId id) {
  for (const Member& member : set) {
    if (member.id == id) return &member;
  }
  return nullptr;
}

bool MajorityHolds(const std::vector<Member>& set, const std::function<bool(NodeId)>& yes) {
  const size_t count =
      std::count_if(set.begin(), set.end(), [&](const Member& member) { return yes(member.id); });
  return count >= set.size() / 2 + 1;
}

Index MajorityIndex(const std::vector<Member>& set, const std::function<Index(NodeId)>& match) {
  DQ_CHECK(!set.empty());
  absl::InlinedVector<Index, 16> reached;
  for (const Member& member : set) reached.push_back(match(member.id));
  std::sort(reached.begin(), reached.end(), std::greater<Index>());
  return reached[set.size() / 2];  // size / 2 + 1 voters have reached it
}

void PutU32(std::string* out, uint32_t value) {
  for (int shift = 0; shift < 32; shift += 8) out->push_back(static_cast<char>(value >> shift));
}

void PutU64(std::string* out, uint64_t value) {
  for (int shift = 0; shift < 64; shift += 8) out->push_back(static_cast<char>(value >> shift));
}

void PutString(std::string* out, const std::string& value) {
  PutU32(out, static_cast<uint32_t>(value.size()));
  out->append(value);
}

void PutMembers(std::string* out, const std::vector<Member>& members) {
  PutU32(out, static_cast<uint32_t>(members.size()));
  for (const Member& member : members) {
    PutU64(out, member.id.value());
    PutU64(out, member.incarnation.value());
    PutString(out, member.name);
    PutString(out, member.address);
  }
}

// Reads values from the front of `bytes`. Each call returns false if too few bytes are left.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  bool AtEnd() const { return rest_.empty(); }

  bool Number(size_t width, uint64_t* value) {
    if (rest_.size() < width) return false;
    *value = 0;
    for (size_t i = 0; i < width; ++i) {
      *value |= uint64_t{static_cast<unsigned char>(rest_[i])} << (8 * i);
    }
    rest_.remove_prefix(width);
    return true;
  }

  bool String(std::string* value) {
    uint64_t length = 0;
    if (!Number(4, &length) || length > rest_.size()) return false;
    value->assign(rest_.substr(0, length));
    rest_.remove_prefix(length);
    return true;
  }

  // Also returns false if ids do not rise or an id is 0.
  bool Members(std::vector<Member>* members) {
    uint64_t count = 0;
    if (!Number(4, &count) || count > rest_.size() / kMemberBytesMin) return false;
    members->reserve(count);
    NodeId previous;
    for (uint64_t i = 0; i < count; ++i) {
      uint64_t id = 0;
      uint64_t incarnation = 0;
      Member member;
      if (!Number(8, &id) || !Number(8, &incarnation)) return false;
      if (!String(&member.name) || !String(&member.address)) return false;
      member.id = NodeId(id);
      member.incarnation = Incarnation(incarnation);
      if (member.id <= previous) return false;
      previous = member.id;
      members->push_back(std::move(member));
    }
    return true;
  }

 private:
  std::string_view rest_;
};

// A member of both voter sets has equal fields in both. No learner is a voter.
bool Consistent(const Configuration& config) {
  if (config.voters.empty()) return false;
  for (const Member& member : config.outgoing) {
    const Member* voter = FindIn(config.voters, member.id);
    if (voter != nullptr && *voter != member) return false;
  }
  return std::none_of(config.learners.begin(), config.learners.end(),
                      [&](const Member& member) { return config.IsVoter(member.id); });
}

}  // namespace

const Member* Configuration::Find(NodeId id) const {
  for (const std::vector<Member>* set : {&voters, &outgoing, &learners}) {
    if (const Member* member = FindIn(*set, id)) return member;
  }
  return nullptr;
}

bool Configuration::IsVoter(NodeId id) const {
  return FindIn(voters, id) != nullptr || FindIn(outgoing, id) != nullptr;
}

bool Configuration::AnyBound() const {
  const auto bound = [](const Member& member) { return member.incarnation != Incarnation(); };
  return std::any_of(voters.begin(), voters.end(), bound) ||
         std::any_of(outgoing.begin(), outgoing.end(), bound) ||
         std::any_of(learners.begin(), learners.end(), bound);
}

bool Configuration::CountsIncarnation(NodeId id, Incarnation incarnation) const {
  const Member* member = Find(id);
  if (member == nullptr) return false;
  if (member->incarnation == Incarnation()) return !AnyBound();
  return member->incarnation == incarnation;
}

std::vector<NodeId> Configuration::MemberIds() const {
  std::vector<NodeId> ids;
  for (const std::vector<Member>* set : {&voters, &outgoing, &learners}) {
    for (const Member& member : *set) ids.push_back(member.id);
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

bool Configuration::HasQuorum(const std::function<bool(NodeId)>& yes) const {
  if (voters.empty()) return false;
  return MajorityHolds(voters, yes) && (outgoing.empty() || MajorityHolds(outgoing, yes));
}

Index Configuration::QuorumIndex(const std::function<Index(NodeId)>& match) const {
  if (voters.empty()) return Index();
  const Index index = MajorityIndex(voters, match);
  return outgoing.empty() ? index : std::min(index, MajorityIndex(outgoing, match));
}

std::string EncodeConfiguration(const Configuration& config) {
  std::string bytes(1, kFormatVersion);
  PutMembers(&bytes, config.voters);
  PutMembers(&bytes, config.outgoing);
  PutMembers(&bytes, config.learners);
  return bytes;
}

std::optional<Configuration> DecodeConfiguration(std::string_view bytes) {
  Reader reader(bytes);
  uint64_t version = 0;
  Configuration config;
  if (!reader.Number(1, &version) || version != kFormatVersion) return std::nullopt;
  if (!reader.Members(&config.voters) || !reader.Members(&config.outgoing) ||
      !reader.Members(&config.learners)) {
    return std::nullopt;
  }
  if (!reader.AtEnd() || !Consistent(config)) return std::nullopt;
  return config;
}

NodeId NodeIdOf(std::string_view name) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : name) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3u;
  }
  hash = Random::Mix(hash);
  return NodeId(hash == 0 ? 1 : hash);
}

}  // namespace dqueue::raft
