// A hostile client: one gRPC connection and one HTTP connection to one node, each made when it is
// needed, used by one thread. All functions return soon after a stop.
#pragma once

#include <google/protobuf/message_lite.h>
#include <grpcpp/channel.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>

#include <chrono>
#include <memory>
#include <random>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "client/access.h"
#include "cmd/hostile/http_client.h"
#include "cmd/hostile/tally.h"
#include "dqueue/v1/service.pb.h"

namespace dqueue::cmd {

// A call that is encoded once and made many times.
struct Request {
  Request(std::string method_path, const google::protobuf::MessageLite& message,
          std::chrono::milliseconds limit = std::chrono::seconds(10));

  std::string method;  // "/dqueue.v1.JobService/GetJob"
  grpc::ByteBuffer bytes;
  std::chrono::milliseconds timeout;
};

struct CallerOptions {
  std::string attack;  // the name in the tally
  int number = 0;      // from 0, within the attack
  std::string address, http_address;
  const client::Access* access = nullptr;  // must outlive the caller
  std::string api_key;                     // of HTTP requests
  bool reads_only = false;                 // the key may change nothing
  bool obeys = false;                      // waits as RetryInfo and Retry-After ask
};

class Caller {
 public:
  Caller(CallerOptions options, std::stop_token stop, Tally* tally);
  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;
  ~Caller();

  int number() const { return options_.number; }
  bool reads_only() const { return options_.reads_only; }
  bool stopping() const { return stop_.stop_requested(); }
  std::minstd_rand& random() { return random_; }
  // "hostile-ATTACK-NUMBER": a queue of this caller alone.
  const std::string& queue() const { return queue_; }
  // A name that no caller has used before: the queue, '-', digits.
  std::string NewName();

  // Makes the call and waits for its end. True: OK, and `answer`, if not null, has the answer.
  bool Call(const Request& request, google::protobuf::MessageLite* answer = nullptr);
  // Makes each call `times` times, all at once, and waits for their ends.
  void CallAtOnce(std::span<const Request> requests, int times);
  // The same, and cancels them after `time`.
  void CallAndCancel(std::span<const Request> requests, int times, std::chrono::milliseconds time);
  // The same as CallAtOnce(), but reads nothing from the connection for `time`, and then little by
  // little.
  void CallAndReadSlowly(std::span<const Request> requests, int times,
                         std::chrono::milliseconds time);
  // Closes the gRPC connection; the next call makes a new one.
  void Reconnect();

  // Makes the HTTP request and waits for its answer.
  HttpAnswer Http(const HttpRequest& request);
  // Makes the HTTP request and reads a kilobyte of the answer a second, for `time`.
  void HttpReadSlowly(const HttpRequest& request, std::chrono::milliseconds time);
  // Makes the HTTP request and reads all that comes, for `time`.
  void HttpStream(const HttpRequest& request, std::chrono::milliseconds time);

  // Counts an item of a batch that was answered with this reason ("": accepted).
  void CountItem(const std::string& reason);
  void Pause(std::chrono::milliseconds time);

 private:
  struct InFlight;
  using Calls = std::vector<std::unique_ptr<InFlight>>;

  grpc::GenericStub& Stub();
  void Start(const Request& request, Calls* calls);
  // Waits until all calls have ended. `between` is waited after each.
  void Await(const Calls& calls, std::chrono::milliseconds between);
  void Count(const Calls& calls);
  void Count(const HttpAnswer& answer);
  void Obey(std::chrono::milliseconds time);

  const CallerOptions options_;
  const std::stop_token stop_;
  Tally* const tally_;
  const std::string queue_;
  uint64_t names_ = 0;
  std::minstd_rand random_;
  grpc::CompletionQueue completions_;
  std::unique_ptr<grpc::GenericStub> stub_;
  HttpClient http_;
};

// Outcome of a call. `reason` is that of the error details; empty: none.
Outcome OutcomeOf(const grpc::Status& status, const std::string& reason);
Outcome OutcomeOf(const HttpAnswer& answer);

}  // namespace dqueue::cmd
