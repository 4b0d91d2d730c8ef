// Reads the files of keys and certificates, with the care that a secret wants.
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"

namespace dqueue::transport {

struct SecretFileRules {
  size_t bytes_max = 8192;
  // Nobody but the owner may have access (no bit of 0077). Credentials that systemd hands to a
  // service are its alone whatever their mode says: access by a list shows as the group's.
  bool secret = true;
  // A pipe will do, as of a shell's <(command). Reading waits for whoever writes.
  bool pipes = false;
};

// What is in it. Links are followed. The errors do not name the file:
//   NOT_FOUND         there is no such file
//   INVALID_ARGUMENT  not a file, open to others, or longer than the limit
//   UNAVAILABLE       the system's text for anything else
absl::StatusOr<std::string> ReadSecretFile(const std::string& path, const SecretFileRules& rules);

}  // namespace dqueue::transport
