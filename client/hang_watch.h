// Abandons calls to servers that stopped answering: frozen, or cut off without a closed connection.
// If an attempt has no answer for a while, its server gets a probe (GetCluster). If the probe
// fails, all attempts at that server are cancelled, and their calls retry elsewhere. Without this,
// a frozen leader would delay each call by a whole attempt and a long poll by all of its wait. With
// a single server it does nothing. Thread-safe.
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
  // The first probe is sent kSilence after the start of an attempt. The interval of further probes
  // doubles up to kAskAgainMax. A probe without an answer within kAnswerWithin has failed.
  static constexpr Duration kSilence{300};
  static constexpr Duration kAskAgainMax{10000};
  static constexpr Duration kAnswerWithin{400};

  explicit HangWatch(Servers* servers) : servers_(servers) {}
  ~HangWatch();
  HangWatch(const HangWatch&) = delete;
  HangWatch& operator=(const HangWatch&) = delete;

  // Starts watching an attempt. `context` must stay valid until Remove() of the returned id.
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
  std::map<uint64_t, Attempt> attempts_;  // oldest first
  uint64_t next_id_ = 1;
  std::map<Server*, std::shared_ptr<Question>> questions_;  // probes without an answer yet
  bool idle_ = false;
  bool stop_ = false;
  std::thread thread_;
};

// Watches one attempt during its own lifetime.
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
