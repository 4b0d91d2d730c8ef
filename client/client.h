// The C++ SDK of dqueue. Client is for producers and administration, Worker (worker.h) for job
// handlers. No gRPC or Protobuf type appears in these headers.
//
//   dqueue::client::Client client({.servers = {"10.0.0.1:9090", "10.0.0.2:9090"}});
//   const auto enqueued = client.Enqueue({.queue = "mail", .type = "welcome", .payload = "{}"});
//   if (!enqueued.ok()) …  // enqueued.status.code, .reason, .message
//
// A Client knows the addresses of some or all nodes. It finds the leader, follows changes of
// leadership and retries failed attempts until the call's time limit. Enqueues and leases carry ids
// that the client makes before the first attempt, and verdicts carry tokens, so a retry has no
// further effect. Cancel(), Retry(), DeleteJobs(), PurgeQueue(), RedriveJobs(), CreateKey() and
// TransferLeadership() without a target have nothing of the kind: they are retried only while no
// attempt can have had an effect, and otherwise return kUnknownOutcome at once.
//
// Threads: all functions of Client are thread-safe. Share one Client per process. Functions that
// return a Result block until the answer is known or ClientOptions::timeout has passed.
//
// Errors: a function never throws for a failed call. Code defines what the caller can rely on.
// docs/api.md lists the reasons and the limits of all fields; a value beyond a limit is answered
// with kInvalidArgument, or with kResourceExhausted if it is too large. If no server can be
// reached, the reason is the cause, and the message begins with the address: NAME_NOT_RESOLVED,
// CONNECTION_REFUSED, CONNECTION_FAILED, CONNECTION_TIMEOUT, CONNECTION_CLOSED, SERVER_SILENT,
// NOT_GRPC, TLS_REQUIRED, TLS_NOT_SPOKEN, TLS_CERTIFICATE, TLS_CLIENT_CERTIFICATE or TLS_FAILED.
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

// All durations are whole milliseconds.
using Duration = std::chrono::milliseconds;
using WallTime = std::chrono::system_clock::time_point;

enum class Code {
  kOk,
  kInvalidArgument,
  kNotFound,
  kAlreadyExists,
  kFailedPrecondition,  // the state of the job, lease or queue does not allow the change
  kResourceExhausted,   // a limit was reached; nothing was changed
  kUnavailable,         // no node or no leader answered in time; nothing was changed
  kUnknownOutcome,      // as kUnavailable, but the change may have taken effect
  kDeadlineExceeded,
  kPermissionDenied,
  kInternal,
};
// "OK", "INVALID_ARGUMENT", …
const char* CodeName(Code code);

// Members have initialisers so that designated initialisers of callers give no warnings.
struct Status {
  Code code = Code::kOk;
  std::string reason{};   // stable, for programs: "LEASE_STALE", …; may be empty
  std::string message{};  // for people; may change between versions
  bool ok() const { return code == Code::kOk; }
};

// `value` is meaningful if ok(), unless a function says more.
template <class T>
struct Result {
  Status status;
  T value{};
  bool ok() const { return status.ok(); }
};

// kDead: in the dead-letter set of the queue. kUnknown: a state of a newer server.
enum class JobState { kUnknown, kScheduled, kReady, kLeased, kSucceeded, kDead, kCancelled };
// "SCHEDULED", …
const char* JobStateName(JobState state);
// Accepts the names in upper and lower case.
std::optional<JobState> ParseJobState(const std::string& name);

// Identifies a lease. Ordered by (term, sequence): a later lease of a job has the greater token.
// Pass ToString() to downstream systems as a fence: they refuse writes with a smaller token than
// the greatest one they have seen.
struct FencingToken {
  uint64_t term = 0;
  uint64_t sequence = 0;
  uint64_t job = 0;  // tells apart jobs that have the same id one after the other
  friend auto operator<=>(const FencingToken&, const FencingToken&) = default;
  // Hexadecimal with a fixed width, so that it has the same order as text:
  // "0000000000000003-0000000000000012-00000000000004d2".
  std::string ToString() const;
  // Accepts the results of ToString() only.
  static std::optional<FencingToken> Parse(const std::string& text);
};

// When a failed job runs again. The delay after the n-th failure is base (kFixed), base * n
// (kLinear) or base * 2^(n-1) (kExponential), up to max_delay, times a random factor from 1 -
// jitter to 1 + jitter.
struct RetryPolicy {
  enum class Backoff { kDefault, kNone, kFixed, kLinear, kExponential };  // kDefault: kExponential
  std::optional<int> max_retries{};  // retries after failures, 0 to 1000; unset: the node's
  Backoff backoff = Backoff::kDefault;
  std::optional<Duration> base{};        // 1 ms to 24 h; unset: 1 s
  std::optional<Duration> max_delay{};   // base to 30 days; unset: 1 h, or base if that is longer
  std::optional<double> jitter{};        // 0 to 1; unset: 0.2
  std::optional<int> max_expirations{};  // retries after expired leases, 0 to 1000; unset: 10
};

// A job to enqueue. All fields are optional. Texts other than the payload must be UTF-8.
struct JobSpec {
  // 1 to 128 characters of [A-Za-z0-9._:-]; empty: a new UUIDv7. An id that exists with the same
  // content is answered with Enqueued::created == false, with other content by kAlreadyExists.
  std::string id{};
  std::string queue{};    // 1 to 128 of [A-Za-z0-9._-], not starting with '_'; empty: "default"
  std::string type{};     // 1 to 128 of [A-Za-z0-9._:/-]; empty: "default"
  std::string payload{};  // up to 1 MiB of any bytes
  int priority = 0;       // 0 to 255; higher is leased first
  // The earliest start: a time up to ten years ahead, or a delay from now. Not both. A time in the
  // past means now, also one before 1970.
  std::optional<WallTime> run_time{};
  std::optional<Duration> delay{};
  // The job is dead if it is not finished by this time, which is 1970 or later.
  std::optional<WallTime> expire_time{};
  RetryPolicy retry{};
  // Up to 256 bytes; empty: none. A queue holds one job per key within the window, 1 s to 30 days
  // (unset: 24 h).
  std::string idempotency_key{};
  std::optional<Duration> idempotency_window{};
  std::string ordering_key{};  // up to 128 bytes; stored and returned, without effect on the order
  // Up to 64 entries each, keys of 1 to 128 bytes, values up to 1 KiB.
  std::map<std::string, std::string> headers{};
  std::map<std::string, std::string> labels{};
  // How long the finished job can be read, 0 to 365 days; unset: 1 h, or 14 days if it is dead.
  std::optional<Duration> retention{};
  // 1 s to 12 h. Used by lease calls that do not set LeaseOptions::lease_duration.
  std::optional<Duration> lease_duration{};
};

// An attempt at a job that ended without success.
struct Attempt {
  int number = 0;         // counts from 1 over the job's life
  std::string end;        // "FAILED", "REJECTED" or "EXPIRED" (the lease ran out)
  std::string worker_id;  // may be empty
  std::optional<WallTime> end_time;
  std::optional<Duration> held;  // from lease to end; unset if the leader changed meanwhile
  std::string error;             // the first 512 bytes
};

struct Job {
  std::string id, queue, type, payload;
  JobState state = JobState::kUnknown;
  int priority = 0;
  std::optional<WallTime> create_time, run_time, expire_time, finish_time;
  int max_retries = 0;
  std::string idempotency_key, ordering_key;
  std::map<std::string, std::string> headers, labels;
  int delivered = 0;  // ended leases: completed, failed or expired
  int failed = 0;
  int expired = 0;
  std::string result;       // of a succeeded job, up to 1 MiB
  std::string last_error;   // of the last failure or expiration, up to 4 KiB
  std::string dead_reason;  // "FAILED", "LEASE_EXPIRED", "JOB_EXPIRED", "REJECTED"; empty: not dead
  // Of a leased job.
  FencingToken token;
  std::string worker_id;
  Duration lease_remaining{};              // at the time of the answer
  std::optional<Duration> lease_duration;  // JobSpec::lease_duration
  // The last ten, oldest first. Set by Get(), by Lease(), and by List() with ListFilter::full.
  std::vector<Attempt> attempts;
};

struct Enqueued {
  std::string id{};
  bool created = true;  // false: the job existed already, by its id or idempotency key
};

struct QueueStats {
  std::string queue;
  // Jobs in each state now.
  uint64_t scheduled = 0, ready = 0, leased = 0, succeeded = 0, dead = 0, cancelled = 0;
  // Totals since the queue was created (of Stats::total: since the cluster was). A queue without
  // jobs is forgotten after an hour. The states and `purged` add up to `enqueued`.
  uint64_t enqueued = 0;
  uint64_t purged = 0;  // removed by a call or after their retention
  uint64_t completions = 0, failures = 0, expirations = 0, deaths = 0, cancellations = 0,
           retries = 0;
  Duration oldest_ready_age{};  // of the job that has been ready for longest; 0: none is ready
  // Always false in Stats::total.
  bool paused = false;
  bool refuses_enqueues = false;
};
struct Stats {
  QueueStats total;                // for a key that is limited to queues: of these
  std::vector<QueueStats> queues;  // by name
  uint64_t applied_index = 0;      // the log index that the counts belong to
};

struct ClusterMember {
  std::string id, address;
  bool voter = false, leader = false;
  // The leader's view of the member; false and 0 if another node answers.
  bool reachable = false;
  uint64_t match_index = 0;
};
// The cluster as one node sees it.
struct ClusterView {
  std::string cluster_id;
  std::string node_id;                    // the node that answered
  std::string role;                       // "leader", "follower", "candidate", "pre-candidate"
  std::string leader_id, leader_address;  // empty: no leader is known
  std::string version;                    // of the node's program
  uint64_t term = 0, commit_index = 0, applied_index = 0, last_index = 0, snapshot_index = 0;
  uint64_t state_digest = 0;  // nodes with the same applied_index must have the same digest
  std::vector<ClusterMember> members;
};

enum class KeyType { kUnknown, kClient, kWorker, kAdmin };
// "client", "worker", "admin"; "unknown".
std::string_view KeyTypeName(KeyType type);
std::optional<KeyType> ParseKeyType(const std::string& name);

struct KeyOptions {
  std::string name{};      // 1 to 128 bytes
  std::string owner_id{};  // 1 to 128 bytes
  KeyType type = KeyType::kClient;
  std::vector<std::string> scopes{};  // empty: the scopes of the type
  std::vector<std::string> queues{};  // queue names, or prefixes followed by '*'; empty: all
};
struct ApiKey {
  std::string id, name, owner_id;
  KeyType type = KeyType::kUnknown;
  std::vector<std::string> scopes, queues;
  std::optional<WallTime> create_time;
  std::optional<WallTime> revoke_time;    // unset: valid
  std::optional<WallTime> last_use_time;  // to the minute; unset: never used
};
struct NewApiKey {
  ApiKey key;
  std::string secret;  // the key to authenticate with; no other call returns it
};

// Empty fields match all jobs.
struct ListFilter {
  std::string queue{};
  std::string type{};
  std::optional<JobState> state{};
  int page_size = 50;        // 1 to 1000
  std::string page_token{};  // JobPage::next_page_token; empty: the first page
  bool full = false;         // include payloads, results, headers, labels and attempts
};
struct JobPage {
  std::vector<Job> jobs;        // may be fewer than page_size on any page
  std::string next_page_token;  // empty: this is the last page
};

struct PurgeOptions {
  std::string queue{};
  std::vector<JobState> states{};  // any but kLeased; empty: kScheduled and kReady
  int max_jobs = 1000;             // per call, 1 to 10,000
};
// Empty fields match all dead jobs.
struct RedriveOptions {
  std::string queue{};
  std::string type{};
  std::string error_contains{};     // case-sensitive text in the last error, up to 4 KiB
  int max_jobs = 1000;              // per call, 1 to 10,000
  std::string error_fingerprint{};  // DeadGroup::error_fingerprint
};
struct SweepResult {
  // Jobs changed by the last attempt. An attempt whose answer was lost is not counted.
  uint64_t jobs = 0;
  bool more = false;  // matching jobs may be left: call again
};

// Dead jobs of one queue, type and reason whose last errors differ only in numbers, ids and quoted
// parts.
struct DeadGroup {
  std::string queue, type, reason;  // `reason` as Job::dead_reason
  std::string error_fingerprint;    // 16 hexadecimal digits
  std::string error;                // the last error of one of the jobs, up to 512 bytes
  uint64_t jobs = 0;
  std::optional<WallTime> first_time, last_time;  // first and last death in the group
  std::vector<std::string> sample_ids;            // up to 5
};
struct DeadGroups {
  std::vector<DeadGroup> groups;  // by size, largest first; up to 500
  bool more = false;              // incomplete: more groups exist, or the time limit was reached
};

struct WorkerInfo {
  std::string id, host;
  std::optional<WallTime> first_time, last_time;  // first and last call to this leader
  bool waiting = false;                           // a lease call of the worker is waiting now
  int leased = 0;                                 // jobs that the worker holds now
  // Since first_time.
  uint64_t delivered = 0, completed = 0, failed = 0, expired = 0;
  std::vector<std::string> queues, types;  // of the last lease call
};

struct LeaseOptions {
  std::string worker_id{};            // 1 to 128 bytes
  std::vector<std::string> queues{};  // up to 100; empty: "default"
  std::vector<std::string> types{};   // up to 100; empty: all types
  int max_jobs = 1;                   // 1 to 1000
  Duration wait{0};                   // for the first job, 0 to 60 s
  // 1 s to 12 h; unset: the job's own, else the node's --lease-timeout.
  std::optional<Duration> lease_duration{};
  std::string host{};  // shown in WorkerInfo; up to 255 bytes
};
struct Completion {
  std::string id{};
  FencingToken token{};
  std::string result{};  // up to 1 MiB of any bytes
};
struct Failure {
  std::string id{};
  FencingToken token{};
  // Bytes that are not UTF-8 become '?'. Of more than 4 KiB the begin and the end are kept.
  std::string error{};
  bool reject = false;                    // the job is dead without a retry
  std::optional<Duration> retry_delay{};  // 0 to 30 days, instead of the RetryPolicy
};
struct LeaseRef {
  std::string id{};
  FencingToken token{};
};

// Files are PEM. They are read once, when the client is created. If one cannot be used, every call
// fails with kInvalidArgument.
struct TlsOptions {
  std::string ca_file{};  // CA of the servers' certificates; empty: the system's CAs
  // Client certificate and its private key; both or neither.
  std::string cert_file{};
  std::string key_file{};
  std::string server_name{};  // name required in certificates; empty: the host of each address
};

struct ClientOptions {
  // "host:port" of some or all nodes. "https://" before any address turns on TLS for all servers;
  // "http://" requires plain text.
  std::vector<std::string> servers = {"127.0.0.1:9090"};
  // TLS for all servers, including leaders that the servers name. Unset, and no "https://": plain
  // text.
  std::optional<TlsOptions> tls{};
  // Sent with each call as "authorization: Bearer"; empty: none. 1 to 4096 visible ASCII
  // characters. Plain text exposes it to the network.
  std::string api_key{};
  // Time limit of a call, retries included.
  Duration timeout{15000};
  // A call fails before its time limit if for this time nothing has listened at any server's
  // address, or the names have not existed. Unset: it is retried until the time limit, so that a
  // restart of a single node fails no call.
  std::optional<Duration> unreachable_limit{};
  // Enqueue() gathers concurrent jobs into batches of up to this size. While max_batches_in_flight
  // batches wait for an answer, the next one collects jobs.
  int max_batch_jobs = 2000;
  size_t max_batch_bytes = 2 << 20;
  int max_batches_in_flight = 2;
};

class Client {
 public:
  // Does not connect. Errors in the options are returned by each call.
  explicit Client(ClientOptions options);
  // Cancels calls of Enqueue() and EnqueueAsync(), and returns when each has its result:
  // kUnavailable, or kUnknownOutcome if the job was sent. No other call may be running.
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Enqueues one job. kOk: the job is on disk on a majority of the nodes. Concurrent calls share
  // batches. Up to 1,000,000 jobs and 256 MiB wait in the client; then Enqueue() blocks for room
  // and EnqueueAsync() fails with CLIENT_QUEUE_FULL (kResourceExhausted).
  Result<Enqueued> Enqueue(JobSpec spec);
  std::future<Result<Enqueued>> EnqueueAsync(JobSpec spec);
  // `done` is called exactly once: in this thread if the job is refused at once, else on a thread
  // of the client. It must not block.
  void EnqueueAsync(JobSpec spec, std::function<void(Result<Enqueued>)> done);
  // Enqueues many jobs, in several calls if they exceed the limits of one. Returns one result per
  // job, in order; `value` is meaningful whatever the outer status is. The outer status is kOk only
  // if every job was accepted. Else it is that of the first call that failed, or of the first job
  // that was refused. With `all_or_nothing` there is one call, of up to 10,000 jobs and 16 MiB,
  // which creates all jobs or none.
  Result<std::vector<Result<Enqueued>>> EnqueueMany(std::vector<JobSpec> specs,
                                                    bool all_or_nothing = false);

  // kNotFound: no such job, or its retention has passed.
  Result<Job> Get(const std::string& id);
  Result<JobPage> List(const ListFilter& filter);
  // Cancels unfinished jobs. Returns one status per id, in order; `value` is meaningful whatever
  // the outer status is. The outer status is kOk only if every item is. Else it is that of the
  // first call that failed, or of the first item that was refused.
  Result<std::vector<Status>> Cancel(const std::vector<std::string>& ids);
  // Makes dead or cancelled jobs ready again, with counters reset. Results as of Cancel().
  Result<std::vector<Status>> Retry(const std::vector<std::string>& ids);
  // The counts of one queue, or of all queues by name if `queue` is empty: in one call for each
  // 1000 queues.
  Result<Stats> GetStats(const std::string& queue = "");

  // PauseQueue() stops leasing from a queue; running leases continue. With `refuse_enqueues` new
  // jobs fail with QUEUE_PAUSED. It creates the queue if needed. Both return the queue as it is
  // afterwards, and may be repeated.
  Result<QueueStats> PauseQueue(const std::string& queue, bool refuse_enqueues = false);
  Result<QueueStats> ResumeQueue(const std::string& queue);
  // Deletes jobs in any state but kLeased (INVALID_STATE). Results as of Cancel(). After
  // kUnknownOutcome, JOB_NOT_FOUND can mean that the earlier call deleted the job.
  Result<std::vector<Status>> DeleteJobs(const std::vector<std::string>& ids);
  // Deletes matching jobs. After kUnknownOutcome, up to max_jobs more may have been deleted. The
  // same holds for RedriveJobs().
  Result<SweepResult> PurgeQueue(const PurgeOptions& options);
  // Makes matching dead jobs ready again, as Retry() does.
  Result<SweepResult> RedriveJobs(const RedriveOptions& options);
  // Groups the dead jobs of a queue and type (empty: all) by their last error.
  Result<DeadGroups> GroupDeadJobs(const std::string& queue = "", const std::string& type = "");
  // Workers that called the leader within five minutes or hold a job, by id.
  Result<std::vector<WorkerInfo>> ListWorkers();

  // Creates an API key. After kUnknownOutcome, a key with this name may exist that nobody knows:
  // find it with ListKeys() and revoke it.
  Result<NewApiKey> CreateKey(const KeyOptions& options);
  // The keys of the caller's owner, or all keys for an admin key, by create_time. `revoked`: also
  // revoked keys.
  Result<std::vector<ApiKey>> ListKeys(bool revoked = false);
  // Revokes a key permanently. `id` is ApiKey::id or the key itself. Running calls with the key end
  // within seconds.
  Result<ApiKey> RevokeKey(const std::string& id);

  // The view of the node at `server`, which is asked once within 2 s; empty: of any node.
  Result<ClusterView> GetCluster(const std::string& server = "");
  // Transfers leadership to the voter `to`, or to the most up-to-date one if `to` is empty. Returns
  // the id of the new leader. NOT_A_VOTER: `to` cannot lead. TRANSFER_FAILED: the old leader stays.
  Result<std::string> TransferLeadership(const std::string& to = "");
  // Polls until the job is finished (kSucceeded, kDead or kCancelled). kDeadlineExceeded: it is not
  // finished after `limit`; `value` is then the job as last seen.
  Result<Job> WaitForCompletion(const std::string& id, Duration limit);

  // The calls of a worker, for programs that do not use Worker. Lease() returns no job if none is
  // ready within LeaseOptions::wait. The others return one status per item, in order, as Cancel().
  // LEASE_STALE, LEASE_EXPIRED or INVALID_STATE: the lease is lost, and the change has no effect.
  Result<std::vector<Job>> Lease(const LeaseOptions& options);
  Result<std::vector<Status>> Complete(const std::vector<Completion>& items);
  Result<std::vector<Status>> Fail(const std::vector<Failure>& items);
  // The leases end `lease_duration` from now, 1 s to 12 h; unset: the node's --lease-timeout.
  Result<std::vector<Status>> Extend(const std::vector<LeaseRef>& items,
                                     std::optional<Duration> lease_duration = {});
  // Returns the jobs to their queues, ready at once. No counter changes.
  Result<std::vector<Status>> Release(const std::vector<LeaseRef>& items);

  const ClientOptions& options() const;

 private:
  friend class VerdictReporter;
  friend class Worker;
  class Impl;
  std::shared_ptr<Impl> impl_;
};

// A new UUID by RFC 9562, version 7. UUIDs of one process are ordered by creation. Thread-safe.
std::string NewUuidV7();

}  // namespace dqueue::client
