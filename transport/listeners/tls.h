// A node's certificate, its key, and the CA of its peers: read from files, checked as a whole, and
// read again when the files change. No OpenSSL in this header.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"

namespace dqueue::transport {

// Paths of PEM files. Errors name them by the flags that they come from.
struct TlsFiles {
  std::string cert;  // this node's certificate, then those between it and its CA
  std::string key;   // not encrypted, and readable by its owner only
  std::string ca;    // peers' certificates come from it; empty: there are no peers over TLS
  // With a CA: the DNS name that the certificate must have, as peers look for it.
  std::string node_name;
};

// A set that is valid as a whole.
struct TlsMaterial {
  std::string cert;
  std::string key;
  std::string ca;
  std::chrono::system_clock::time_point expires;
};

// INVALID_ARGUMENT: flag, file and what is wrong with it.
absl::StatusOr<TlsMaterial> LoadTlsMaterial(const TlsFiles& files);

// The set that new connections use. Thread-safe. A thread looks at the files every second; a new
// set is taken if it is valid, else that is logged and the old one stays.
class TlsStore {
 public:
  // Errors as LoadTlsMaterial().
  static absl::StatusOr<std::shared_ptr<TlsStore>> Open(const TlsFiles& files);
  ~TlsStore();
  TlsStore(const TlsStore&) = delete;
  TlsStore& operator=(const TlsStore&) = delete;

  // Peers must show a certificate of the CA that names them.
  bool for_peers() const { return !files_.ca.empty(); }
  std::shared_ptr<const TlsMaterial> current() const;
  // 1, and one more with each new set.
  uint64_t generation() const;
  // What the thread does every second. True: a new set was taken.
  bool Look();

 private:
  TlsStore(TlsFiles files, TlsMaterial material, std::string seen);
  void Watch();
  void WarnOfExpiry(std::chrono::system_clock::time_point expires);

  const TlsFiles files_;

  mutable std::mutex mutex_;
  std::shared_ptr<const TlsMaterial> current_;
  uint64_t generation_ = 1;

  std::mutex look_mutex_;
  std::string seen_;  // the files, as they were at the last look
  std::chrono::system_clock::time_point warn_again_;

  std::mutex stop_mutex_;
  std::condition_variable stop_wake_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace dqueue::transport
