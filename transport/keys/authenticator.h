// Who calls, and whether that caller may make this call. One for a node; gRPC and HTTP ask it
// before anything else is done for a caller. Any thread.
//
// A node knows the keys as far as it has applied the log, so a follower may not know a key yet that
// was made a moment ago: that is Standing::kUnknown, and a call that goes on to the leader is left
// for the leader to decide. A key that was revoked is refused wherever that is known.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/btree_map.h"
#include "queue/api/error.h"
#include "queue/api/key.h"

namespace dqueue::transport {

// Who makes a call. As it is: everybody, where keys are off.
struct Caller {
  std::string key_id;  // empty: keys are off
  std::string owner_id;
  uint32_t scopes = queue::kAllScopes;
  queue::QueueAccessPtr access;
  bool admin = true;  // may see and revoke the keys of others
};

// What came with a call.
struct Credentials {
  std::string authorization;  // the header: "Bearer <key>"
  std::string source;         // the caller's address, for the log: "127.0.0.1"
};

class Authenticator {
 public:
  using Clock = std::chrono::steady_clock;

  // off: everybody may do everything.
  explicit Authenticator(bool on) : on_(on) {}

  enum class Standing {
    kAllowed,
    kUnknown,  // it could be a key, but this node has none like it
    kRefused,
  };
  struct Ruling {
    Standing standing = Standing::kAllowed;
    Caller caller;       // of kAllowed
    queue::Error error;  // otherwise: KEY_MISSING, KEY_INVALID, KEY_REVOKED, SCOPE_MISSING
  };
  // Counts and logs what it refuses: of one source at most one line in ten seconds.
  Ruling Check(const Credentials& credentials, queue::Scope needed,
               Clock::time_point now = Clock::now());
  // The same without counting and logging.
  Ruling Look(const Credentials& credentials, queue::Scope needed) const;

  bool on() const { return on_; }
  // From the node. Before the first, every key is unknown.
  void SetKeys(const queue::KeyTable& keys);
  // Of keys that were let in since the last call of this.
  std::vector<std::string> TakeUses();

  struct Counts {
    uint64_t allowed = 0;
    uint64_t refused = 0;
  };
  Counts counts() const;
  size_t sources() const;  // whose failures are remembered
  // How many keys that nobody has made a source may have looked up at the leader, in ten seconds.
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
  mutable std::mutex mutex_;
  std::shared_ptr<const KnownKeys> known_ = std::make_shared<const KnownKeys>();
  std::set<std::string> used_;
  std::map<std::string, Failures> failures_;  // by source; bounded
};

// The error of a caller without this right.
queue::Error ScopeMissingError(queue::Scope scope);

}  // namespace dqueue::transport
