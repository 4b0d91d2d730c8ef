// What a node does about keys without being asked: tells its Authenticator of each change, writes
// down once a minute which keys were used, and makes the first ones. A thread of its own, that is
// idle but for these.
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

// A key that a node makes by itself.
struct FirstKey {
  std::string name;
  std::string owner_id;
  v1::KeyType type = v1::KEY_TYPE_UNSPECIFIED;
  std::string secret;  // empty: a fresh one is made
};

struct FirstKeys {
  std::vector<FirstKey> keys;
  // False: only in a cluster that never had a key. True: unless that key is there, or was and is
  // revoked; each has a secret.
  bool always = false;
  // Both on the keeper's thread, and may be null. Before a key is made, when this node leads: the
  // secret is there, and can be put where it will be looked for; an error: the key is not made.
  std::function<absl::Status(const FirstKey& key)> before;
  // Now it is on disk on a majority.
  std::function<void(const FirstKey& key)> made;
};

class KeyKeeper {
 public:
  // `gate` must outlive it; it may be closed meanwhile. `leads`: whether this node is the leader.
  static std::unique_ptr<KeyKeeper> Start(NodeGate* gate,
                                          std::shared_ptr<Authenticator> authenticator,
                                          std::function<bool()> leads, FirstKeys first);
  virtual ~KeyKeeper() = default;
};

}  // namespace dqueue::transport
