// Limits of requests. validate.h checks them; docs and errors print them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dqueue::queue {

inline constexpr size_t kNameBytesMax =
    128;  // ids, queues, types, worker ids, request ids, ordering keys
inline constexpr size_t kPayloadBytesMax = 1 << 20;
inline constexpr size_t kResultBytesMax = 1 << 20;
inline constexpr size_t kErrorBytesMax = 4096;       // longer ones are cut at a character
inline constexpr size_t kErrorBytesLowMemory = 256;  // the same, while memory is low
inline constexpr size_t kIdempotencyKeyBytesMax = 256;
inline constexpr size_t kLabelsMax = 64;
inline constexpr size_t kLabelValueBytesMax = 1024;
inline constexpr size_t kBatchItemsMax = 10000;
inline constexpr size_t kBatchBytesMax = 16 << 20;
inline constexpr int32_t kPriorityMax = 255;
inline constexpr int32_t kRetriesMax = 1000;
inline constexpr int32_t kDefaultMaxExpirations = 10;
// Defaults of a RetryPolicy's fields.
inline constexpr int64_t kBackoffBaseMsDefault = 1000;
inline constexpr int64_t kBackoffMsDefault = 3600 * 1000;  // the cap; or the base if that is longer
inline constexpr uint32_t kJitterPermilleDefault = 200;
inline constexpr int64_t kBackoffBaseMsMax = 24LL * 3600 * 1000;
inline constexpr int64_t kBackoffMsMax = 30LL * 24 * 3600 * 1000;
inline constexpr int64_t kRunTimeAheadMsMax = 3653LL * 24 * 3600 * 1000;
inline constexpr int64_t kLeaseMsMin = 1000;
inline constexpr int64_t kLeaseMsMax = 12LL * 3600 * 1000;
inline constexpr int64_t kWaitMsMax = 60 * 1000;
inline constexpr int32_t kLeaseJobsMax = 1000;
inline constexpr size_t kLeaseFiltersMax = 100;
inline constexpr int64_t kIdempotencyWindowMsDefault = 24LL * 3600 * 1000;
inline constexpr int64_t kIdempotencyWindowMsMax = 30LL * 24 * 3600 * 1000;
inline constexpr int64_t kRetentionMsDefault = 3600LL * 1000;
inline constexpr int64_t kDeadRetentionMsDefault = 14LL * 24 * 3600 * 1000;
inline constexpr int64_t kRetentionMsMax = 365LL * 24 * 3600 * 1000;
inline constexpr int32_t kPageSizeDefault = 50;
inline constexpr int32_t kPageSizeMax = 1000;
inline constexpr int32_t kPickJobsDefault = 1000;  // of purge and redrive
inline constexpr int32_t kPickJobsMax = 10000;
inline constexpr size_t kHostBytesMax = 255;
inline constexpr size_t kQueuesMax = 100000;  // that exist at a time in a cluster
// A queue without jobs and with default settings is forgotten after this time, or earlier if a new
// queue needs its place.
inline constexpr int64_t kQueueIdleMs = 3600LL * 1000;
// Jobs of a request with a request_id are remembered for this time after the request, also if they
// are gone; at most this many that are gone, in 60 bytes each.
inline constexpr int64_t kRequestIdMs = 3600LL * 1000;
inline constexpr uint32_t kRequestsMax = 1000000;
inline constexpr int32_t kStatsPageSizeMax = 1000;  // and default; of workers and keys too

}  // namespace dqueue::queue
