#include "cmd/hostile/caller.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/support/channel_arguments.h>
#include <grpcpp/support/slice.h>

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <utility>

#include "absl/status/status.h"
#include "client/servers.h"

namespace dqueue::cmd {
namespace {

using Clock = std::chrono::system_clock;
using std::chrono::milliseconds;

constexpr milliseconds kLookAgain{100};
constexpr milliseconds kHttpLimit{15000};
constexpr milliseconds kObeyMax{5000};
constexpr size_t kSlowBytes = 1024;

constexpr grpc::StatusCode kIllegalCodes[] = {
    grpc::StatusCode::INVALID_ARGUMENT, grpc::StatusCode::OUT_OF_RANGE,
    grpc::StatusCode::PERMISSION_DENIED, grpc::StatusCode::UNAUTHENTICATED,
    grpc::StatusCode::UNIMPLEMENTED};
constexpr int kIllegalHttp[] = {400, 401, 403, 405, 411, 413, 414, 415, 417, 431, 501, 505};

// The value of "reason" in the JSON of an error.
std::string ReasonOf(const std::string& body) {
  constexpr std::string_view kKey = "\"reason\":\"";
  const size_t at = body.find(kKey);
  if (at == std::string::npos) return "";
  const size_t begin = at + kKey.size();
  return body.substr(begin, body.find('"', begin) - begin);
}

}  // namespace

Request::Request(std::string method_path, const google::protobuf::MessageLite& message,
                 milliseconds limit)
    : method(std::move(method_path)), timeout(limit) {
  const grpc::Slice slice(message.SerializeAsString());
  bytes = grpc::ByteBuffer(&slice, 1);
}

Outcome OutcomeOf(const grpc::Status& status, const std::string& reason) {
  if (status.ok()) return {"OK"};
  const bool illegal = std::find(std::begin(kIllegalCodes), std::end(kIllegalCodes),
                                 status.error_code()) != std::end(kIllegalCodes);
  const auto code = static_cast<absl::StatusCode>(status.error_code());
  return {.name = reason.empty() ? absl::StatusCodeToString(code) : reason,
          .illegal = illegal || reason == "REQUEST_TOO_LARGE",
          .message = status.error_message()};
}

Outcome OutcomeOf(const HttpAnswer& answer) {
  if (answer.status == 0) return {"no answer: " + answer.error};
  if (answer.status < 300) return {"OK"};
  const std::string reason = ReasonOf(answer.body);
  const bool illegal = std::find(std::begin(kIllegalHttp), std::end(kIllegalHttp), answer.status) !=
                       std::end(kIllegalHttp);
  return {.name = reason.empty() ? "HTTP " + std::to_string(answer.status) : reason,
          .illegal = illegal,
          .message = answer.body.substr(0, 300)};
}

struct Caller::InFlight {
  grpc::ClientContext context;
  grpc::ByteBuffer answer;
  grpc::Status status;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> reader;
};

Caller::Caller(CallerOptions options, std::stop_token stop, Tally* tally)
    : options_(std::move(options)),
      stop_(std::move(stop)),
      tally_(tally),
      queue_("hostile-" + options_.attack + "-" + std::to_string(options_.number)),
      random_(static_cast<unsigned>(std::hash<std::string>()(queue_)) + 1),
      http_(options_.http_address, options_.api_key) {}

Caller::~Caller() {
  completions_.Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (completions_.Next(&tag, &ok)) {
  }
}

std::string Caller::NewName() { return queue_ + "-" + std::to_string(names_++); }

grpc::GenericStub& Caller::Stub() {
  if (stub_ == nullptr) {
    grpc::ChannelArguments args;
    // A connection of its own.
    args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    args.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
    args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
    args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
    args.SetMaxReceiveMessageSize(-1);
    args.SetMaxSendMessageSize(-1);
    stub_ = std::make_unique<grpc::GenericStub>(
        grpc::CreateCustomChannel(options_.address, options_.access->credentials, args));
  }
  return *stub_;
}

void Caller::Reconnect() {
  stub_.reset();
  http_.Close();
}

void Caller::Start(const Request& request, Calls* calls) {
  InFlight& call = *calls->emplace_back(std::make_unique<InFlight>());
  call.context.set_deadline(Clock::now() + request.timeout);
  options_.access->Authorize(&call.context);
  call.reader =
      Stub().PrepareUnaryCall(&call.context, request.method, request.bytes, &completions_);
  call.reader->StartCall();
  call.reader->Finish(&call.answer, &call.status, &call);
}

void Caller::Await(const Calls& calls, milliseconds between) {
  bool cancelled = false;
  for (size_t ended = 0; ended < calls.size();) {
    void* tag = nullptr;
    bool ok = false;
    switch (completions_.AsyncNext(&tag, &ok, Clock::now() + kLookAgain)) {
      case grpc::CompletionQueue::GOT_EVENT:
        ++ended;
        if (between > milliseconds(0)) Pause(between);
        break;
      case grpc::CompletionQueue::TIMEOUT:
        break;
      case grpc::CompletionQueue::SHUTDOWN:
        return;
    }
    if (stopping() && !std::exchange(cancelled, true)) {
      for (const auto& call : calls) call->context.TryCancel();
    }
  }
}

void Caller::Count(const Calls& calls) {
  std::map<std::string, std::pair<Outcome, uint64_t>> outcomes;
  milliseconds retry{0};
  for (const auto& call : calls) {
    // The stop cancelled it.
    if (stopping() && call->status.error_code() == grpc::StatusCode::CANCELLED) continue;
    const client::FailedAttempt failure = client::ReadFailure(call->status);
    retry = std::max(retry, failure.retry_after);
    Outcome outcome = OutcomeOf(call->status, failure.status.reason);
    auto& [first, count] = outcomes[outcome.name];
    if (count++ == 0) first = std::move(outcome);
  }
  for (const auto& [name, pair] : outcomes) tally_->Add(options_.attack, pair.first, pair.second);
  Obey(retry);
}

void Caller::Count(const HttpAnswer& answer) {
  if (stopping()) return;
  tally_->Add(options_.attack, OutcomeOf(answer));
  Obey(answer.retry);
}

void Caller::CountItem(const std::string& reason) {
  const bool illegal = reason == "INVALID_FIELD" || reason == "PAYLOAD_TOO_LARGE";
  tally_->Add(options_.attack,
              {.name = reason.empty() ? "item OK" : "item " + reason, .illegal = illegal});
}

void Caller::Obey(milliseconds time) {
  if (options_.obeys) Pause(std::min(time, kObeyMax));
}

bool Caller::Call(const Request& request, google::protobuf::MessageLite* answer) {
  Calls calls;
  Start(request, &calls);
  Await(calls, milliseconds(0));
  Count(calls);
  if (!calls[0]->status.ok()) return false;
  if (answer == nullptr) return true;
  grpc::Slice slice;
  if (!calls[0]->answer.DumpToSingleSlice(&slice).ok()) return false;
  return answer->ParseFromArray(slice.begin(), static_cast<int>(slice.size()));
}

void Caller::CallAtOnce(std::span<const Request> requests, int times) {
  Calls calls;
  for (int i = 0; i < times; ++i) {
    for (const Request& request : requests) Start(request, &calls);
  }
  Await(calls, milliseconds(0));
  Count(calls);
}

void Caller::CallAndCancel(std::span<const Request> requests, int times, milliseconds time) {
  Calls calls;
  for (int i = 0; i < times; ++i) {
    for (const Request& request : requests) Start(request, &calls);
  }
  Pause(time);
  for (const auto& call : calls) call->context.TryCancel();
  Await(calls, milliseconds(0));
  Count(calls);
}

void Caller::CallAndReadSlowly(std::span<const Request> requests, int times, milliseconds time) {
  Calls calls;
  for (int i = 0; i < times; ++i) {
    for (const Request& request : requests) Start(request, &calls);
  }
  // Nothing reads from the socket but AsyncNext().
  Pause(time);
  Await(calls, kLookAgain);
  Count(calls);
}

HttpAnswer Caller::Http(const HttpRequest& request) {
  HttpAnswer answer = http_.Call(request, kHttpLimit);
  Count(answer);
  return answer;
}

void Caller::HttpReadSlowly(const HttpRequest& request, milliseconds time) {
  const bool sent = http_.Send(request, kHttpLimit);
  for (milliseconds spent{0}; sent && spent < time && !stopping(); spent += milliseconds(1000)) {
    Pause(milliseconds(1000));
    if (http_.Read(kSlowBytes, milliseconds(1000)) == 0) break;
  }
  http_.Close();
  tally_->Add(options_.attack, {sent ? "read slowly" : "not connected"});
}

void Caller::HttpStream(const HttpRequest& request, milliseconds time) {
  const bool sent = http_.Send(request, kHttpLimit);
  const auto end = Clock::now() + time;
  while (sent && Clock::now() < end && !stopping()) {
    if (http_.Read(64 * kSlowBytes, milliseconds(3000)) == 0) break;
  }
  http_.Close();
  tally_->Add(options_.attack, {sent ? "read" : "not connected"});
}

void Caller::Pause(milliseconds time) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  wake.wait_for(lock, stop_, time, [] { return false; });
}

}  // namespace dqueue::cmd
