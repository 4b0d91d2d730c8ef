// The C++ SDK. Client for producers and people, Worker for handlers. No gRPC or Protobuf type
// appears here.
//
// A Client knows some or all nodes, finds the leader, follows it, and retries what is safe to
// retry: every change carries ids made on this side, so a repeated call creates nothing twice.
// Thread-safe; share one per process.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace dqueue::client {

using Duration = std::chrono::milliseconds;
using WallTime = std::chrono::system_clock::time_point;

enum class Code {
  kOk,
  kInvalidArgument,
  kNotFound,
  kAlreadyExists,
  kFailedPrecondition,
  kResourceExhausted,
  kUnavailable,     // no node could be reached, or no leader, until the time was over
  kUnknownOutcome,  // the same, and the change may or may not have happened
  kDeadlineExceeded,
  kPermissionDenied,
  kInternal,
};
const char* CodeName(Code code);

// Members have initialisers so that designated initialisers of callers give no warnings.
struct Status {
  Code code = Code::kOk;
  std::string reason{};  // of the server's ErrorInfo: "LEASE_STALE", …
  std::string message{};
  bool ok() const { return code == Code::kOk; }
};

template <class T>
struct Result {
  Status status;
  T value{};
  bool ok() const { return status.ok(); }
};

enum class JobState { kUnknown, kScheduled, kReady, kLeased, kSucceeded, kDead, kCancelled };
const char* JobStateName(JobState state);                        // "SCHEDULED", …
std::optional<JobState> ParseJobState(const std::string& name);  // case-insensitive

// Ordered: a later lease of a job has the greater token. Give ToString() to downstream systems as a
// fence.
struct FencingToken {
  uint64_t term = 0;
  uint64_t sequence = 0;
  uint64_t job = 0;  // which job: once a job is purged, another one can have its id
  friend auto operator<=>(const FencingToken&, const FencingToken&) = default;
  // Fixed width (hexadecimal), so that it also orders as text:
  // "0000000000000003-0000000000000012-00000000000004d2".
  std::string ToString() const;
  static std::optional<FencingToken> Parse(const std::string& text);
};

struct RetryPolicy {
  enum class Backoff { kDefault, kNone, kFixed, kLinear, kExponential };
  std::optional<int> max_retries{};
  Backoff backoff = Backoff::kDefault;
  std::optional<Duration> base{};
  std::optional<Duration> max_delay{};
  std::optional<double> jitter{};
  std::optional<int> max_expirations{};
};

struct JobSpec {
  std::string id{};  // empty: made here (UUIDv7)
  std::string queue{};
  std::string type{};
  std::string payload{};
  int priority = 0;
  std::optional<WallTime> run_time{};
  std::optional<Duration> delay{};
  std::optional<WallTime> expire_time{};
  RetryPolicy retry{};
  std::string idempotency_key{};
  std::optional<Duration> idempotency_window{};
  std::string ordering_key{};
  std::map<std::string, std::string> headers{};
  std::map<std::string, std::string> labels{};
  std::optional<Duration> retention{};
  std::optional<Duration> lease_duration{};
};

// An attempt at a job that ended without success.
struct Attempt {
  int number = 0;         // counted from 1 over the job's life
  std::string end;        // "FAILED", "REJECTED", "EXPIRED"
  std::string worker_id;  // may be empty
  std::optional<WallTime> end_time;
  std::optional<Duration> held;  // not known if the leader changed meanwhile
  std::string error;             // its first 512 bytes
};

struct Job {
  std::string id, queue, type, payload;
  JobState state = JobState::kUnknown;
  int priority = 0;
  std::optional<WallTime> create_time, run_time, expire_time, finish_time;
  int max_retries = 0;
  std::string idempotency_key, ordering_key;
  std::map<std::string, std::string> headers, labels;
  int delivered = 0, failed = 0, expired = 0;
  std::string result, last_error, dead_reason;
  // While leased.
  FencingToken token;
  std::string worker_id;
  Duration lease_remaining{};
  // The last ten, oldest first. Of Get(), and of List() with `full`.
  std::vector<Attempt> attempts;
};

struct Enqueued {
  std::string id{};
  bool created = true;  // false: it was there already
};

struct QueueStats {
  std::string queue;
  uint64_t scheduled = 0, ready = 0, leased = 0, succeeded = 0, dead = 0, cancelled = 0;
  uint64_t enqueued = 0, purged = 0;
  uint64_t completions = 0, failures = 0, expirations = 0, deaths = 0, cancellations = 0,
           retries = 0;
  Duration oldest_ready_age{};
  bool paused = false;  // of one queue, not of the total; so is the next
  bool refuses_enqueues = false;
};
struct Stats {
  QueueStats total;
  std::vector<QueueStats> queues;
  uint64_t applied_index = 0;
};

struct ClusterMember {
  std::string id, address;
  bool voter = false, leader = false, reachable = false;
  uint64_t match_index = 0;
};
struct ClusterView {
  std::string cluster_id, node_id, role, leader_id, leader_address, version;
  uint64_t term = 0, commit_index = 0, applied_index = 0, last_index = 0, snapshot_index = 0,
           state_digest = 0;
  std::vector<ClusterMember> members;
};

enum class KeyType { kUnknown, kClient, kWorker, kAdmin };
// "client", "worker", "admin".
std::string_view KeyTypeName(KeyType type);
std::optional<KeyType> ParseKeyType(const std::string& name);

struct KeyOptions {
  std::string name{};      // 1 to 128 bytes
  std::string owner_id{};  // 1 to 128 bytes
  KeyType type = KeyType::kClient;
  std::vector<std::string> scopes{};  // empty: those of the type
  std::vector<std::string> queues{};  // names, or beginnings of names and '*'; empty: all
};
struct ApiKey {
  std::string id, name, owner_id;
  KeyType type = KeyType::kUnknown;
  std::vector<std::string> scopes, queues;
  std::optional<WallTime> create_time, revoke_time, last_use_time;
};
struct NewApiKey {
  ApiKey key;
  std::string secret;  // the key itself: this is the only time that it is told
};

struct ListFilter {
  std::string queue{};
  std::string type{};
  std::optional<JobState> state{};
  int page_size = 50;
  std::string page_token{};
  bool full = false;
};
struct JobPage {
  std::vector<Job> jobs;
  std::string next_page_token;
};

// Jobs of one queue; of no state: SCHEDULED and READY.
struct PurgeOptions {
  std::string queue{};
  std::vector<JobState> states{};
  int max_jobs = 1000;  // of one call, 1 to 10,000
};
// Dead jobs; what is empty fits all.
struct RedriveOptions {
  std::string queue{};
  std::string type{};
  std::string error_contains{};
  int max_jobs = 1000;              // of one call, 1 to 10,000
  std::string error_fingerprint{};  // of a DeadGroup
};
struct SweepResult {
  // Those that an attempt changed whose answer was lost do not count.
  uint64_t jobs = 0;
  bool more = false;  // some that match are left: call again
};

// Dead jobs of one queue, type and reason whose last errors are the same but for numbers, ids and
// quoted parts.
struct DeadGroup {
  std::string queue, type, reason;  // as Job::dead_reason
  std::string error_fingerprint;    // 16 hexadecimal digits
  std::string error;                // of one of the jobs, up to 512 bytes
  uint64_t jobs = 0;
  std::optional<WallTime> first_time, last_time;  // when the first and the last of them died
  std::vector<std::string> sample_ids;            // up to 5
};
struct DeadGroups {
  std::vector<DeadGroup> groups;  // the largest first; at most 500
  bool more = false;              // there are others, or the time was over before all were seen
};

struct WorkerInfo {
  std::string id, host;
  std::optional<WallTime> first_time, last_time;                   // of its calls to this leader
  bool waiting = false;                                            // for jobs, now
  int leased = 0;                                                  // jobs that it holds now
  uint64_t delivered = 0, completed = 0, failed = 0, expired = 0;  // since first_time
  std::vector<std::string> queues, types;                          // of its last lease call
};

struct LeaseOptions {
  std::string worker_id{};
  std::vector<std::string> queues{};
  std::vector<std::string> types{};
  int max_jobs = 1;
  Duration wait{0};
  std::optional<Duration> lease_duration{};
  std::string host{};  // the machine, for people; up to 255 bytes
};
struct Completion {
  std::string id{};
  FencingToken token{};
  std::string result{};
};
struct Failure {
  std::string id{};
  FencingToken token{};
  std::string error{};
  bool reject = false;
  std::optional<Duration> retry_delay{};
};
struct LeaseRef {
  std::string id{};
  FencingToken token{};
};

// Files are PEM, and read once, when the client is made.
struct TlsOptions {
  std::string ca_file{};  // whose certificates servers must have; empty: the system's CAs
  // What this client shows, if the servers want that; both or none.
  std::string cert_file{};
  std::string key_file{};
  std::string server_name{};  // that certificates must have; empty: the host of each address
};

struct ClientOptions {
  // host:port of some or all nodes. "https://" in front of one asks for TLS with all; "http://"
  // says plain text.
  std::vector<std::string> servers = {"127.0.0.1:9090"};
  // TLS with all servers, also those that these name as the leader. None, and no "https://": plain
  // text.
  std::optional<TlsOptions> tls{};
  // Sent with each call ("authorization: Bearer"); empty: none. Without TLS everybody on the way
  // can read it.
  std::string api_key{};
  // How long a call keeps trying, retries included.
  Duration timeout{15000};
  // Concurrent Enqueue() calls are gathered into batches while a call is in flight.
  int max_batch_jobs = 2000;
  size_t max_batch_bytes = 2 << 20;
  int max_batches_in_flight = 2;
};

class Client {
 public:
  explicit Client(ClientOptions options);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // One job; gathered with others that are enqueued at the same time.
  Result<Enqueued> Enqueue(JobSpec spec);
  std::future<Result<Enqueued>> EnqueueAsync(JobSpec spec);
  void EnqueueAsync(JobSpec spec,
                    std::function<void(Result<Enqueued>)> done);  // called on a client thread
  // Many in one call; one result each, in order. The outer status is of the call. With
  // all_or_nothing, either all are created or none.
  Result<std::vector<Result<Enqueued>>> EnqueueMany(std::vector<JobSpec> specs,
                                                    bool all_or_nothing = false);

  Result<Job> Get(const std::string& id);
  Result<JobPage> List(const ListFilter& filter);
  // One status each, in order.
  Result<std::vector<Status>> Cancel(const std::vector<std::string>& ids);
  Result<std::vector<Status>> Retry(const std::vector<std::string>& ids);
  Result<Stats> GetStats(const std::string& queue = "");

  // No job of the queue is leased until it is resumed. With refuse_enqueues it takes no new jobs
  // either: QUEUE_PAUSED. Both answer with the queue as it is then, and may be repeated.
  Result<QueueStats> PauseQueue(const std::string& queue, bool refuse_enqueues = false);
  Result<QueueStats> ResumeQueue(const std::string& queue);
  // At once, whatever their state, unless leased: INVALID_STATE. One status each, in order; after a
  // lost answer JOB_NOT_FOUND may mean that this very call deleted the job.
  Result<std::vector<Status>> DeleteJobs(const std::vector<std::string>& ids);
  // Deletes the jobs that match.
  Result<SweepResult> PurgeQueue(const PurgeOptions& options);
  // Retry() of the dead jobs that match.
  Result<SweepResult> RedriveJobs(const RedriveOptions& options);
  // What the dead jobs of a queue and type (empty: all) died of.
  Result<DeadGroups> GroupDeadJobs(const std::string& queue = "", const std::string& type = "");
  // Who has asked the leader for jobs within five minutes, or holds some; by id.
  Result<std::vector<WorkerInfo>> ListWorkers();

  // If the answer is lost on the way, a repetition makes another key: the first is then in the
  // list, and nobody's.
  Result<NewApiKey> CreateKey(const KeyOptions& options);
  // Those of the caller's owner; of everybody with an admin key. By create_time.
  Result<std::vector<ApiKey>> ListKeys(bool revoked = false);
  // `id`: or the key itself. Also ends calls that run with it, within seconds.
  Result<ApiKey> RevokeKey(const std::string& id);

  // Of the node at `server` (empty: any).
  Result<ClusterView> GetCluster(const std::string& server = "");
  // Hands leadership to the voter `to` (empty: to whoever is furthest) and returns the name of the
  // new leader. NOT_A_VOTER: `to` cannot lead; TRANSFER_FAILED: given up, all goes on as before.
  Result<std::string> TransferLeadership(const std::string& to = "");
  // Returns when the job is finished (SUCCEEDED, DEAD, CANCELLED) or after `limit` with
  // DEADLINE_EXCEEDED.
  Result<Job> WaitForCompletion(const std::string& id, Duration limit);

  // For workers that do without Worker.
  Result<std::vector<Job>> Lease(const LeaseOptions& options);
  Result<std::vector<Status>> Complete(const std::vector<Completion>& items);
  Result<std::vector<Status>> Fail(const std::vector<Failure>& items);
  Result<std::vector<Status>> Extend(const std::vector<LeaseRef>& items,
                                     std::optional<Duration> lease_duration = {});
  Result<std::vector<Status>> Release(const std::vector<LeaseRef>& items);

  const ClientOptions& options() const;

 private:
  friend class Worker;
  class Impl;
  std::shared_ptr<Impl> impl_;
};

// RFC 9562; ordered by creation time.
std::string NewUuidV7();

}  // namespace dqueue::client
