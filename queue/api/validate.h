// Checks that requests are well formed, by the limits of limits.h. The checks know no roles, jobs
// or leases. Every refusal is INVALID_ARGUMENT with reason INVALID_FIELD (or PAYLOAD_TOO_LARGE for
// too many bytes) and names field, value and limit.
//
// Strings that go into the log must be UTF-8: an entry that does not parse would end every replica.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "dqueue/v1/service.pb.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"
#include "queue/api/error.h"
#include "queue/api/key.h"

namespace dqueue::queue {

// `limit` completes "<field> must be …".
Error InvalidField(std::string field, std::string value, std::string limit);
// Quoted and escaped, cut to 80 characters.
std::string ShownValue(std::string_view value);
bool IsUtf8(std::string_view text);
bool IsQueueName(std::string_view text);
extern const char kQueueNameLimit[];  // as InvalidField wants it

// Checks of a call as a whole: number of items, bytes, ids of the caller. nullopt: well formed.
std::optional<Error> CheckRequest(const v1::EnqueueJobsRequest& request);
std::optional<Error> CheckRequest(const v1::LeaseJobsRequest& request);
std::optional<Error> CheckRequest(const v1::CompleteJobsRequest& request);
std::optional<Error> CheckRequest(const v1::FailJobsRequest& request);
std::optional<Error> CheckRequest(const v1::ExtendLeasesRequest& request);
std::optional<Error> CheckRequest(const v1::ReleaseJobsRequest& request);
std::optional<Error> CheckRequest(const v1::CancelJobsRequest& request);
std::optional<Error> CheckRequest(const v1::RetryJobsRequest& request);
std::optional<Error> CheckRequest(const v1::GetJobRequest& request);
std::optional<Error> CheckRequest(const v1::ListJobsRequest& request);
std::optional<Error> CheckRequest(const v1::GetStatsRequest& request);
// page_size: 0 (the default) to `max`.
std::optional<Error> CheckPageSize(int32_t page_size, int32_t max);
std::optional<Error> CheckRequest(const v1::PauseQueueRequest& request);
std::optional<Error> CheckRequest(const v1::ResumeQueueRequest& request);
std::optional<Error> CheckRequest(const v1::DeleteJobsRequest& request);
std::optional<Error> CheckRequest(const v1::PurgeQueueRequest& request);
std::optional<Error> CheckRequest(const v1::RedriveJobsRequest& request);
std::optional<Error> CheckRequest(const v1::GroupDeadJobsRequest& request);
std::optional<Error> CheckRequest(const v1::ListWorkersRequest& request);

// One item; `index` is its position, for the name of the field. now_ms: the leader's clock.
std::optional<Error> CheckJob(const v1::JobSpec& job, int index, int64_t now_ms);
// The part of CheckJob that needs the clock. The job has passed the rest of it.
std::optional<Error> CheckRunTime(const google::protobuf::Timestamp& run_time, int index,
                                  int64_t now_ms);
std::optional<Error> CheckItem(const v1::CompleteJobsRequest& request, int index);
std::optional<Error> CheckItem(const v1::FailJobsRequest& request, int index);
std::optional<Error> CheckItem(const v1::ExtendLeasesRequest& request, int index);
std::optional<Error> CheckItem(const v1::ReleaseJobsRequest& request, int index);
std::optional<Error> CheckItem(const v1::CancelJobsRequest& request, int index);
std::optional<Error> CheckItem(const v1::RetryJobsRequest& request, int index);
std::optional<Error> CheckItem(const v1::DeleteJobsRequest& request, int index);

// Checks all of a key but id and digest. In validate_key.cc.
std::optional<Error> CheckKey(const KeyRecord& key);
std::optional<Error> CheckRequest(const CreateKeyOrder& order);
std::optional<Error> CheckRequest(const ListKeysOrder& order);
std::optional<Error> CheckRequest(const RevokeKeyOrder& order);
std::optional<Error> CheckRequest(const UseKeysOrder& order);

// In milliseconds, rounded up. The argument has passed the checks above.
int64_t DurationMs(const google::protobuf::Duration& duration);
int64_t TimestampMs(const google::protobuf::Timestamp& time);

// `text` cut to at most `max` bytes without splitting a character.
std::string_view CutUtf8(std::string_view text, size_t max);

}  // namespace dqueue::queue
