// Conversions between std::string_view, which dqueue's interfaces use, and absl::string_view. On
// Debian the two are different types.
#pragma once

#include <string_view>

#include "absl/strings/string_view.h"

namespace dqueue {

inline absl::string_view AbslView(std::string_view s) {
  return absl::string_view(s.data(), s.size());
}
inline std::string_view StdView(absl::string_view s) {
  return std::string_view(s.data(), s.size());
}

}  // namespace dqueue
