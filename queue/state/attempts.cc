#include "queue/state/attempts.h"

#include <algorithm>

#include "base/check.h"
#include "queue/api/limits.h"
#include "queue/api/validate.h"
#include "queue/state/byte_codec.h"
#include "queue/state/stored_job.h"

namespace dqueue::queue {
namespace {

// Between number and texts.
constexpr size_t kFixedBytes = 1;

bool ReadAttempt(ByteReader& reader, AttemptView* out) {
  out->number = reader.Varint32();
  const uint8_t end = reader.Byte();
  const uint64_t end_ms = reader.Varint();
  out->held_ms = UnZigZag(reader.Varint());
  out->worker_id = reader.String();
  out->error = reader.String();
  if (!reader.ok() || end < v1::Attempt::END_FAILED || end > v1::Attempt::END_EXPIRED) return false;
  out->end = static_cast<v1::Attempt::End>(end);
  out->end_ms = static_cast<int64_t>(end_ms);
  return end_ms <= static_cast<uint64_t>(kTimeMsMax) && out->held_ms >= -1 &&
         out->held_ms <= kTimeMsMax && out->worker_id.size() <= kNameBytesMax &&
         out->error.size() <= kAttemptErrorBytesMax;
}

}  // namespace

std::string WithAttempt(std::string_view attempts, const AttemptView& next) {
  std::vector<AttemptView> before;
  DQ_CHECK(ParseAttempts(attempts, &before));
  if (before.size() == kAttemptsMax) {
    // From the second one on: it begins where the first one's last text ends.
    const char* const second = before[0].error.data() + before[0].error.size();
    attempts.remove_prefix(static_cast<size_t>(second - attempts.data()));
  }
  const std::string_view worker_id = CutUtf8(next.worker_id, kNameBytesMax);
  const std::string_view error = CutUtf8(next.error, kAttemptErrorBytesMax);
  const auto end_ms = static_cast<uint64_t>(ClampTime(next.end_ms));
  const uint64_t held_ms = ZigZag(std::clamp<int64_t>(next.held_ms, -1, kTimeMsMax));
  const size_t size = VarintSize(next.number) + kFixedBytes + VarintSize(end_ms) +
                      VarintSize(held_ms) + StringSize(worker_id) + StringSize(error);
  std::string out;
  out.resize(attempts.size() + size);
  char* p = PutBytes(out.data(), attempts);
  p = PutVarint(p, next.number);
  *p++ = static_cast<char>(next.end);
  p = PutVarint(p, end_ms);
  p = PutVarint(p, held_ms);
  p = PutString(PutString(p, worker_id), error);
  DQ_CHECK(p == out.data() + out.size());
  return out;
}

bool ParseAttempts(std::string_view attempts, std::vector<AttemptView>* out) {
  out->clear();
  ByteReader reader(attempts);
  while (reader.remaining() > 0) {
    AttemptView attempt;
    if (!ReadAttempt(reader, &attempt)) return false;
    if (!out->empty() && attempt.number < out->back().number) return false;
    out->push_back(attempt);
  }
  return out->size() <= kAttemptsMax;
}

}  // namespace dqueue::queue
