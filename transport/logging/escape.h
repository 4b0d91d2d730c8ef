// Untrusted text, escaped for a log line.
#pragma once

#include <string>
#include <string_view>

namespace dqueue::transport {

// Control characters, quotes, backslashes and bytes above 0x7e become \xNN; cut after `max_bytes`.
std::string EscapeText(std::string_view text, size_t max_bytes = 200);

}  // namespace dqueue::transport
