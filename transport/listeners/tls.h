// A node's certificate, its key, and the CA of its peers. Read from files, checked together, and
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

// Paths of PEM files. Errors name the flags that set them.
struct TlsFiles {
  std::string cert;  // this node's certificate, then the intermediate ones
  std::string key;   // not encrypted, readable by its owner only
  std::string ca;    // issues the peers' certificates; empty: no peers over TLS
  // With a CA: the DNS name that the certificate must have; peers check it.
  std::string node_name;
};

// Certificate, key and CA that fit together.
struct TlsMaterial {
  std::string cert;
  std::string key;
  std::string ca;
  std::chrono::system_clock::time_point expires;
};

// INVALID_ARGUMENT: names the flag, the file and the problem.
absl::StatusOr<TlsMaterial> LoadTlsMaterial(const TlsFiles& files);

// The material for new connections. Thread-safe. A thread checks the files every second: a valid
// new set replaces the old one; an invalid one is logged and ignored.
class TlsStore {
 public:
  // Errors as LoadTlsMaterial().
  static absl::StatusOr<std::shared_ptr<TlsStore>> Open(const TlsFiles& files);
  ~TlsStore();
  TlsStore(const TlsStore&) = delete;
  TlsStore& operator=(const TlsStore&) = delete;

  // A CA is set: peers must present a certificate of it that names them.
  bool for_peers() const { return !files_.ca.empty(); }
  std::shared_ptr<const TlsMaterial> current() const;
  // 1 at first; rises by 1 with each new set.
  uint64_t generation() const;
  // The check of the thread. True: a new set is in use.
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
  std::string seen_;  // the fingerprint of the files at the last check
  std::chrono::system_clock::time_point warn_again_;

  std::mutex stop_mutex_;
  std::condition_variable stop_wake_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace dqueue::transport
