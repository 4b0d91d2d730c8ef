// The program's log, on standard error: one line an event, in UTC. What peers and clients sent is
// escaped, so that nobody can forge a line.
#pragma once

#include <string>

namespace dqueue::cmd {

enum class LogFormat { kText, kJson };

// level: trace, debug, info, warn, error or off. Replaces spdlog's default logger.
void SetUpLog(const std::string& level, LogFormat format);

}  // namespace dqueue::cmd
