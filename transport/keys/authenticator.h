// Checks API keys: identifies the caller, and decides whether it may make a call. One for each
// node; gRPC and HTTP use it before anything else is done for a caller. Any thread.
//
// A node knows the keys that it has applied from the log. A follower may lack a key that was made a
// moment ago: that is Standing::kUnknown, and the leader decides about a call that is forwarded to
// it. A revoked key is refused by every node that has applied the revocation.
//
// A call or stream that runs for a while is checked again: when SetKeys() returns true, and before
// it hands out data, LostRights() says whether it must end (calls/call_router.h).
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/btree_map.h"
#include "queue/api/error.h"
#include "queue/api/key.h"

namespace dqueue::transport {

// The identity and rights of a caller. The default is that of every caller while keys are off.
struct Caller {
  std::string key_id;  // empty: keys are off
  std::string owner_id;
  uint32_t scopes = queue::kAllScopes;
  queue::QueueAccessPtr access;
  bool admin = true;  // may see and revoke the keys of others
};
bool SameRights(const Caller& a, const Caller& b);

// The credentials that came with a call.
struct Credentials {
  std::string authorization;  // the header: "Bearer <key>"
  std::string source;         // the caller's address, for the log: "127.0.0.1"
};

class Authenticator {
 public:
  using Clock = std::chrono::steady_clock;

  // off: every call is allowed.
  explicit Authenticator(bool on) : on_(on) {}

  enum class Standing {
    kAllowed,
    kUnknown,  // well formed, but this node has no such key
    kRefused,
  };
  struct Ruling {
    Standing standing = Standing::kAllowed;
    Caller caller;       // of kAllowed
    queue::Error error;  // otherwise: KEY_MISSING, KEY_INVALID, KEY_REVOKED, SCOPE_MISSING
  };
  // Counts and logs refusals: at most one line in ten seconds for each source.
  Ruling Check(const Credentials& credentials, queue::Scope needed,
               Clock::time_point now = Clock::now());
  // The same without counting and logging.
  Ruling Look(const Credentials& credentials, queue::Scope needed) const;

  bool on() const { return on_; }
  // Replaces the keys. Before the first call every key is unknown. True: a key lost rights that it
  // had (it was revoked, forgotten or changed), so running calls must be checked.
  bool SetKeys(const queue::KeyTable& keys);
  // How often SetKeys() returned true.
  uint64_t losses() const { return losses_.load(std::memory_order_acquire); }
  // Why something that runs with these credentials must end; nullopt: it may go on. `began`: the
  // caller as Check() or Look() found it at the beginning; null: this node did not know the key.
  // Errors: those of Check(), and KEY_CHANGED if the key has other rights now. Neither counts nor
  // logs.
  std::optional<queue::Error> LostRights(const Credentials& credentials, queue::Scope needed,
                                         const Caller* began) const;
  // The ids of the keys admitted since the previous TakeUses().
  std::vector<std::string> TakeUses();

  struct Counts {
    uint64_t allowed = 0;
    uint64_t refused = 0;
  };
  Counts counts() const;
  size_t sources() const;  // with remembered failures
  // Unknown keys that one source may have checked by the leader, in ten seconds.
  static constexpr int kUnknownPerSource = 20;

 private:
  struct Known {
    queue::KeyDigest digest{};
    bool revoked = false;
    Caller caller;
  };
  using KnownKeys = absl::btree_map<std::string, Known>;
  struct Failures {
    Clock::time_point since;
    int unknown = 0;
    bool logged = false;
  };
  void NoteFailure(const Credentials& credentials, Clock::time_point now, Ruling* ruling);

  const bool on_;
  std::atomic<uint64_t> allowed_{0};
  std::atomic<uint64_t> refused_{0};
  std::atomic<uint64_t> losses_{0};
  mutable std::mutex mutex_;
  std::shared_ptr<const KnownKeys> known_ = std::make_shared<const KnownKeys>();
  std::set<std::string> used_;
  std::map<std::string, Failures> failures_;  // by source; bounded
};

// SCOPE_MISSING: the error for a caller without `scope`.
queue::Error ScopeMissingError(queue::Scope scope);

}  // namespace dqueue::transport
