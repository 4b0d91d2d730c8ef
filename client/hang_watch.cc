#include "client/hang_watch.h"

#include <algorithm>
#include <utility>

namespace dqueue::client {
namespace {

constexpr Duration kTick{100};

}  // namespace

struct HangWatch::Question {
  std::shared_ptr<Server> server;
  grpc::ClientContext context;
  v1::GetClusterRequest request;
  v1::GetClusterResponse response;
};

HangWatch::~HangWatch() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    for (const auto& [server, question] : questions_) question->context.TryCancel();
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [this] { return questions_.empty(); });
}

uint64_t HangWatch::Add(const std::shared_ptr<Server>& server, grpc::ClientContext* context) {
  // With one server a call cannot go elsewhere.
  if (servers_->count() < 2) return 0;
  const std::lock_guard lock(mutex_);
  const uint64_t id = next_id_++;
  attempts_.emplace_hint(attempts_.end(), id,
                         Attempt{server, context, Clock::now() + kSilence, kSilence});
  if (!thread_.joinable()) {
    thread_ = std::thread([this] { Run(); });
  } else if (idle_) {
    wake_.notify_all();
  }
  return id;
}

void HangWatch::Remove(uint64_t id) {
  if (id == 0) return;
  const std::lock_guard lock(mutex_);
  attempts_.erase(id);
}

void HangWatch::Run() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    if (attempts_.empty()) {
      idle_ = true;
      wake_.wait(lock, [this] { return stop_ || !attempts_.empty(); });
      idle_ = false;
      continue;
    }
    wake_.wait_for(lock, kTick, [this] { return stop_; });
    const Clock::time_point now = Clock::now();
    for (auto& [id, attempt] : attempts_) {
      if (stop_ || now < attempt.ask_at) continue;
      attempt.ask_again = std::min(attempt.ask_again * 2, kAskAgainMax);
      attempt.ask_at = now + attempt.ask_again;
      if (!questions_.contains(attempt.server.get())) AskLocked(attempt.server);
    }
  }
}

void HangWatch::AskLocked(const std::shared_ptr<Server>& server) {
  auto question = std::make_shared<Question>();
  question->server = server;
  servers_->access().Authorize(&question->context);
  question->context.set_deadline(std::chrono::system_clock::now() + kAnswerWithin);
  questions_.emplace(server.get(), question);
  KeepCallbackThreads();
  server->cluster->async()->GetCluster(
      &question->context, &question->request, &question->response,
      [this, question](const grpc::Status& status) { OnAnswer(question, status); });
}

void HangWatch::OnAnswer(const std::shared_ptr<Question>& question, const grpc::Status& status) {
  const FailedAttempt failure = status.ok() ? FailedAttempt() : ReadFailure(status);
  const std::lock_guard lock(mutex_);
  questions_.erase(question->server.get());
  if (!stop_ && failure.transport) {
    servers_->OnFailure(question->server, failure, true);
    for (const auto& [id, attempt] : attempts_) {
      if (attempt.server == question->server) attempt.context->TryCancel();
    }
  }
  // Under the lock: the watch may be destroyed after it.
  wake_.notify_all();
}

}  // namespace dqueue::client
