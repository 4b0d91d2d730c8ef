#include "queue/broker/reads/dead_groups.h"

#include <algorithm>
#include <utility>

#include "google/protobuf/timestamp.pb.h"
#include "queue/api/error_fingerprint.h"
#include "queue/api/hash.h"
#include "queue/api/proto_time.h"
#include "queue/api/validate.h"

namespace dqueue::queue {
namespace {

constexpr uint64_t kGroupSeed = 0x67726f7570;

}  // namespace

void DeadGroups::Add(const DeadJob& job) {
  const uint64_t fingerprint = ErrorFingerprint(job.error);
  const uint64_t key = HashSequence(kGroupSeed)
                           .Add(job.queue)
                           .Add(job.type)
                           .Add(static_cast<uint64_t>(job.reason))
                           .Add(fingerprint)
                           .Finish();
  const auto it = numbers_.find(key);
  if (it == numbers_.end() && groups_.size() == kGroupsCountedMax) {
    left_out_ = true;
    return;
  }
  Group* group = nullptr;
  if (it == numbers_.end()) {
    numbers_.emplace(key, static_cast<uint32_t>(groups_.size()));
    group = &groups_.emplace_back();
    group->set_queue(std::string(job.queue));
    group->set_type(std::string(job.type));
    group->set_reason(job.reason);
    group->set_error_fingerprint(FingerprintText(fingerprint));
    group->set_error(std::string(CutUtf8(job.error, kGroupErrorBytesMax)));
    SetMs(job.time_ms, group->mutable_first_time());
    SetMs(job.time_ms, group->mutable_last_time());
  } else {
    group = &groups_[it->second];
    if (job.time_ms < TimestampMs(group->first_time()))
      SetMs(job.time_ms, group->mutable_first_time());
    if (job.time_ms > TimestampMs(group->last_time()))
      SetMs(job.time_ms, group->mutable_last_time());
  }
  group->set_jobs(group->jobs() + 1);
  if (group->sample_ids_size() < kGroupSamplesMax) group->add_sample_ids(std::string(job.id));
}

void DeadGroups::Take(v1::GroupDeadJobsResponse* out) {
  std::stable_sort(groups_.begin(), groups_.end(),
                   [](const Group& a, const Group& b) { return a.jobs() > b.jobs(); });
  const size_t shown = std::min(groups_.size(), kGroupsShownMax);
  for (size_t i = 0; i < shown; ++i) *out->add_groups() = std::move(groups_[i]);
  if (left_out_ || shown < groups_.size()) out->set_more(true);
}

}  // namespace dqueue::queue
