// The program's log on standard error: one line per event, with the time in UTC. Messages are
// escaped (escape.h), so text from peers and clients cannot forge a line.
#pragma once

#include <string>

namespace dqueue::cmd {

enum class LogFormat { kText, kJson };

// Replaces spdlog's default logger. `level`: trace, debug, info, warn, error or off.
void SetUpLog(const std::string& level, LogFormat format);

}  // namespace dqueue::cmd
