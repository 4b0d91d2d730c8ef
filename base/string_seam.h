// Debian's Abseil has a string_view of its own. Our interfaces use std::string_view; at Abseil's
// seams convert here.
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
