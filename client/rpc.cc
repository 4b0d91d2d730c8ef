#include "client/rpc.h"

#include <atomic>
#include <random>
#include <thread>

namespace dqueue::client {
namespace {

// A probe of a refused connection takes a millisecond.
constexpr Duration kExplainMax{300};

Status Cancelled() { return {Code::kUnavailable, "CANCELLED", "cancelled by this client"}; }

}  // namespace

uint64_t NextSeed() {
  static std::atomic<uint64_t> next{std::random_device()()};
  return next.fetch_add(0x9e3779b9, std::memory_order_relaxed);
}

void CallCancel::Cancel() {
  const std::lock_guard lock(mutex_);
  cancelled_ = true;
  if (context_ != nullptr) context_->TryCancel();
  wake_.notify_all();
}

bool CallCancel::cancelled() const {
  const std::lock_guard lock(mutex_);
  return cancelled_;
}

bool CallCancel::Begin(grpc::ClientContext* context) {
  const std::lock_guard lock(mutex_);
  context_ = cancelled_ ? nullptr : context;
  return !cancelled_;
}

void CallCancel::End() {
  const std::lock_guard lock(mutex_);
  context_ = nullptr;
}

bool CallCancel::Wait(Duration time) {
  std::unique_lock lock(mutex_);
  return !wake_.wait_for(lock, time, [this] { return cancelled_; });
}

Status Rpc::Call(const CallSpec& spec, const Invoke& invoke) {
  if (servers_.count() == 0) {
    return servers_.NoServers();
  }
  RetryState retry(Clock::now() + spec.timeout, spec.effect, servers_.count(), NextSeed());
  while (true) {
    const std::shared_ptr<Server> server = servers_.Pick();
    grpc::ClientContext context;
    servers_.access().Authorize(&context);
    const auto left =
        std::chrono::duration_cast<std::chrono::microseconds>(retry.deadline() - Clock::now());
    context.set_deadline(std::chrono::system_clock::now() +
                         std::min<std::chrono::microseconds>(left, spec.attempt_max));
    if (spec.cancel != nullptr && !spec.cancel->Begin(&context)) return Cancelled();
    grpc::Status status;
    {
      const WatchedAttempt watched(&watch_, server, &context);
      status = invoke(*server, &context);
    }
    if (spec.cancel != nullptr) spec.cancel->End();
    if (status.ok()) {
      if (!spec.any_server) servers_.OnSuccess(server, context);
      return {};
    }
    if (spec.cancel != nullptr && spec.cancel->cancelled()) return Cancelled();
    FailedAttempt failure = ReadFailure(status);
    Step step = retry.OnFailure(failure, Clock::now());
    if (step.kind == Step::Kind::kRetry || failure.transport) {
      servers_.OnFailure(server, failure, step.avoid_server);
    }
    if (failure.transport) servers_.Explain(*server, &failure.status);
    if (spec.on_failure && spec.on_failure(*server, failure)) step.kind = Step::Kind::kGiveUp;
    if (step.kind == Step::Kind::kRetry && HopesNoMore()) step.kind = Step::Kind::kGiveUp;
    if (step.kind == Step::Kind::kGiveUp) {
      Status result = step.status.ok() ? retry.OutOfTime() : step.status;
      if (failure.transport) {
        servers_.Explain(*server, &result, failure.maybe_done ? Duration{} : kExplainMax);
      }
      return result;
    }
    if (step.wait.count() == 0) continue;
    if (spec.cancel == nullptr) {
      std::this_thread::sleep_for(step.wait);
    } else if (!spec.cancel->Wait(step.wait)) {
      return Cancelled();
    }
  }
}

Status Rpc::CallServer(const std::shared_ptr<Server>& known, Duration timeout,
                       const Invoke& invoke) {
  Server& server = *known;
  if (!servers_.access().problem.ok()) return servers_.NoServers();
  grpc::ClientContext context;
  servers_.access().Authorize(&context);
  context.set_deadline(std::chrono::system_clock::now() + timeout);
  const grpc::Status status = invoke(server, &context);
  if (status.ok()) return {};
  const FailedAttempt failure = ReadFailure(status);
  Status failed = failure.status;
  if (failure.transport) {
    servers_.OnFailure(known, failure, false);
    servers_.Explain(server, &failed, failure.maybe_done ? Duration{} : kExplainMax);
  }
  if (failed.code == Code::kInternal || failed.code == Code::kDeadlineExceeded) {
    failed.code = Code::kUnavailable;
  }
  return failed;
}

}  // namespace dqueue::client
