// Notices servers that hang: frozen, or cut off without a word. When an attempt has had no answer
// for a while, its server is asked for a sign of life; if none comes, the attempts at it are
// cancelled, so that they are made again elsewhere. Without this a frozen leader would cost every
// call a whole attempt, and a long poll all of its wait.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "client/servers.h"

namespace dqueue::client {

class HangWatch {
 public:
  // An attempt that is silent for so long makes its server suspect; later signs of life are asked
  // for ever less often.
  static constexpr Duration kSilence{300};
  static constexpr Duration kAskAgainMax{10000};
  static constexpr Duration kAnswerWithin{400};

  explicit HangWatch(Servers* servers) : servers_(servers) {}
  ~HangWatch();
  HangWatch(const HangWatch&) = delete;
  HangWatch& operator=(const HangWatch&) = delete;

  // `context` must stay valid until Remove() with the id that this returns.
  uint64_t Add(const std::shared_ptr<Server>& server, grpc::ClientContext* context);
  void Remove(uint64_t id);

 private:
  struct Attempt {
    std::shared_ptr<Server> server;
    grpc::ClientContext* context = nullptr;
    Clock::time_point ask_at;
    Duration ask_again = kSilence;
  };
  struct Question;

  void Run();
  void AskLocked(const std::shared_ptr<Server>& server);
  void OnAnswer(const std::shared_ptr<Question>& question, const grpc::Status& status);

  Servers* const servers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::map<uint64_t, Attempt> attempts_;  // by age
  uint64_t next_id_ = 1;
  std::map<Server*, std::shared_ptr<Question>> questions_;  // under way
  bool idle_ = false;
  bool stop_ = false;
  std::thread thread_;
};

// Watches one attempt for as long as it lives.
class WatchedAttempt {
 public:
  WatchedAttempt(HangWatch* watch, const std::shared_ptr<Server>& server,
                 grpc::ClientContext* context)
      : watch_(watch), id_(watch->Add(server, context)) {}
  ~WatchedAttempt() { watch_->Remove(id_); }
  WatchedAttempt(const WatchedAttempt&) = delete;
  WatchedAttempt& operator=(const WatchedAttempt&) = delete;

 private:
  HangWatch* const watch_;
  const uint64_t id_;
};

}  // namespace dqueue::client
