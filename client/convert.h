// Converts between SDK types and wire messages.
#pragma once

#include <grpcpp/support/status.h>

#include <string>
#include <vector>

#include "client/client.h"
#include "dqueue/v1/service.pb.h"

namespace dqueue::client {

// Moves the texts out of `spec`.
void ToProto(JobSpec&& spec, v1::JobSpec* out);
// Moves the texts out of `job`.
Job FromProto(v1::Job&& job);
QueueStats FromProto(const v1::QueueStats& stats);
// Adds a page of an answer, of which `first` begins it.
void AddPage(const v1::GetStatsResponse& page, bool first, Stats* stats);
DeadGroups FromProto(v1::GroupDeadJobsResponse&& response);
std::vector<WorkerInfo> FromProto(v1::ListWorkersResponse&& response);
ClusterView FromProto(v1::GetClusterResponse&& response);
v1::JobState ToProto(JobState state);
void ToProto(const FencingToken& token, v1::LeaseToken* out);
void ToProto(Duration duration, google::protobuf::Duration* out);
WallTime GetTime(const google::protobuf::Timestamp& time);

Status FromRpcStatus(const google::rpc::Status& status);
Code FromRpcCode(int code);

// The name of the first text field that is not UTF-8; empty if there is none. One such job would
// make its batch undecodable.
std::string FieldNotUtf8(const JobSpec& spec);
bool IsUtf8(std::string_view text);
// Replaces bytes that are not UTF-8 by '?' and cuts the text to `max_bytes`, between characters.
std::string MakeUtf8(std::string_view text, size_t max_bytes);
// The same, but text is left out in the middle, and the place says how much: the end of an error is
// as telling as its begin. `max_bytes` is at least 64.
std::string MakeUtf8Middle(std::string_view text, size_t max_bytes);

// The size of a job in bytes, for the limits of batches. An estimate.
size_t CostOf(const JobSpec& spec);

}  // namespace dqueue::client
