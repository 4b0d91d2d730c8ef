// The API keys of a running node: brings each change of the key table to its Authenticator, writes
// the last use of keys to the log once a minute, and makes the first keys. A thread of its own,
// which is idle between these.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "dqueue/v1/service.pb.h"
#include "transport/calls/node_gate.h"
#include "transport/keys/authenticator.h"

namespace dqueue::transport {

// A key that a node makes without a call.
struct FirstKey {
  std::string name;
  std::string owner_id;
  v1::KeyType type = v1::KEY_TYPE_UNSPECIFIED;
  std::string secret;  // empty: generated
};

struct FirstKeys {
  std::vector<FirstKey> keys;
  // False: only in a cluster that never had a key. True: each key that does not exist (a revoked
  // one exists); each needs a secret.
  bool always = false;
  // Both run on the keeper's thread, and may be null. `before` runs on the leader before the key is
  // made: the secret is known and can be stored. An error: the key is not made.
  std::function<absl::Status(const FirstKey& key)> before;
  // The key is on disk on a majority.
  std::function<void(const FirstKey& key)> made;
};

class KeyKeeper {
 public:
  // `gate` must outlive it; it may be closed meanwhile.
  // `on_loss`: called when a key has lost rights, after `authenticator` knows it, on the node's
  // loop thread; it must not block. May be null.
  static std::unique_ptr<KeyKeeper> Start(NodeGate* gate,
                                          std::shared_ptr<Authenticator> authenticator,
                                          FirstKeys first, std::function<void()> on_loss = nullptr);
  virtual ~KeyKeeper() = default;
};

}  // namespace dqueue::transport
