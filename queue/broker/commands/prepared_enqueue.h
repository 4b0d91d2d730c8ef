// An EnqueueJobs request, checked and encoded for the log on the thread that submits it. A request
// of 10,000 jobs with many headers takes long to check, to encode and to free: none of that happens
// on the loop's thread. The leader adds what only it decides, ids and times, and copies bytes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dqueue/v1/service.pb.h"
#include "google/protobuf/timestamp.pb.h"
#include "queue/broker/calls.h"
#include "queue/broker/options.h"

namespace dqueue::queue {

struct PreparedEnqueue {
  // A well-formed job of the request.
  struct Job {
    int item = 0;                          // its position in the request
    std::string id;                        // the producer's; empty: the leader chooses one
    google::protobuf::Timestamp run_time;  // the producer's; 1970: none
    int64_t run_time_ms = 0;               // the same
    int64_t delay_ms = 0;
    // Set when the leader decides on the id: fields of log.v1.Enqueue.Job.
    std::string request_key;
    bool id_of_request = false;
    // Its other fields, in `bytes`.
    size_t begin = 0;
    size_t end = 0;
  };
  std::vector<Job> jobs;
  // Fields of log.v1.Enqueue.Job. A Protobuf message may have its fields in any order, so that the
  // leader puts the missing ones in front.
  std::string bytes;
  std::string request_id;
  bool all_or_nothing = false;
  bool return_jobs = false;
  // One result for each item; malformed items have their error.
  v1::EnqueueJobsResponse response;
};

// Checks and encodes call->request and empties it. False: the call is answered, because the request
// as a whole or all of its items are refused. Any thread.
bool Prepare(const BrokerOptions& options, EnqueueCall* call);

// For other calls there is nothing to prepare yet.
template <class C>
bool Prepare(const BrokerOptions&, C*) {
  return true;
}

}  // namespace dqueue::queue
