// Reads files that hold keys and certificates, with checks of their permissions.
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"

namespace dqueue::transport {

struct SecretFileRules {
  size_t bytes_max = 8192;
  // Only the owner may have access (no bit of 0077). Exempt: credentials that systemd hands to a
  // service (an access list shows as group permissions there).
  bool secret = true;
  // Accept a pipe, as from a shell's <(command). Reading waits for the writer.
  bool pipes = false;
};

// The file's content. Links are followed. The errors do not name the file:
//   NOT_FOUND         there is no such file
//   INVALID_ARGUMENT  not a file, open to others, or longer than the limit
//   UNAVAILABLE       the system's text for anything else
absl::StatusOr<std::string> ReadSecretFile(const std::string& path, const SecretFileRules& rules);

}  // namespace dqueue::transport
