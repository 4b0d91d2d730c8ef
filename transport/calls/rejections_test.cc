#include "transport/calls/rejections.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <string>

namespace dqueue::transport {
namespace {

using queue::CallKind;

queue::Error Because(const std::string& reason, const std::string& cause = "") {
  queue::Error error;
  error.reason = reason;
  if (!cause.empty()) error.metadata["cause"] = cause;
  return error;
}

TEST(Rejections, CountsByKindAndReason) {
  Rejections rejections;
  rejections.Add(CallKind::kListings, Because("OVERLOADED", "caller_share"));
  rejections.Add(CallKind::kListings, Because("OVERLOADED", "caller_share"));
  rejections.Add(CallKind::kMutations, Because("OVERLOADED"));
  rejections.Add(CallKind::kMutations, Because("OVERLOADED", "bytes"));
  rejections.Add(CallKind::kMutations, Because("DISK_LOW"));
  rejections.Add(CallKind::kMutations, Because("MEMORY_LOW"));
  rejections.Add(CallKind::kLeases, Because("DEADLINE_PASSED"));
  for (const char* other : {"NOT_LEADER", "INVALID_FIELD", "JOB_NOT_FOUND", ""}) {
    rejections.Add(CallKind::kReads, Because(other));
  }
  rejections.Add(CallKind::kReads, Because("OVERLOADED", "no such cause"));
  const Rejections::Counts counts = rejections.counts();
  const auto of = [&](CallKind kind, std::string_view reason) {
    const auto& reasons = Rejections::kReasons;
    const auto at = std::find(reasons.begin(), reasons.end(), reason) - reasons.begin();
    return counts[static_cast<size_t>(kind)].at(static_cast<size_t>(at));
  };
  EXPECT_EQ(of(CallKind::kListings, "caller_share"), 2u);
  EXPECT_EQ(of(CallKind::kMutations, "overloaded"), 1u);
  EXPECT_EQ(of(CallKind::kMutations, "bytes"), 1u);
  EXPECT_EQ(of(CallKind::kMutations, "disk_low"), 1u);
  EXPECT_EQ(of(CallKind::kMutations, "memory_low"), 1u);
  EXPECT_EQ(of(CallKind::kLeases, "deadline_passed"), 1u);
  uint64_t all = 0;
  for (const auto& kind : counts) all = std::accumulate(kind.begin(), kind.end(), all);
  EXPECT_EQ(all, 7u);
}

}  // namespace
}  // namespace dqueue::transport
