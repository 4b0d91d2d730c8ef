// Between the SDK's words and the wire's.
#pragma once

#include <grpcpp/support/status.h>

#include <string>
#include <vector>

#include "client/client.h"
#include "dqueue/v1/service.pb.h"

namespace dqueue::client {

// Takes the texts out of `spec`.
void ToProto(JobSpec&& spec, v1::JobSpec* out);
// Takes the texts out of `job`.
Job FromProto(v1::Job&& job);
QueueStats FromProto(const v1::QueueStats& stats);
Stats FromProto(const v1::GetStatsResponse& response);
DeadGroups FromProto(v1::GroupDeadJobsResponse&& response);
std::vector<WorkerInfo> FromProto(v1::ListWorkersResponse&& response);
ClusterView FromProto(v1::GetClusterResponse&& response);
v1::JobState ToProto(JobState state);
void ToProto(const FencingToken& token, v1::LeaseToken* out);
void ToProto(Duration duration, google::protobuf::Duration* out);
WallTime GetTime(const google::protobuf::Timestamp& time);

Status FromRpcStatus(const google::rpc::Status& status);
Code FromRpcCode(int code);

// The first text in the spec that is not UTF-8, by its field's name; empty if all are. (One such
// job would make a whole batch undecodable.)
std::string FieldNotUtf8(const JobSpec& spec);
bool IsUtf8(std::string_view text);
// Bad bytes become '?'; cut to `max_bytes` at a character.
std::string MakeUtf8(std::string_view text, size_t max_bytes);

// What batching counts a job as.
size_t CostOf(const JobSpec& spec);

}  // namespace dqueue::client
