#include "cmd/flags/log_setup.h"

#include <spdlog/formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <utility>

#include "cmd/flags/escape.h"
#include "cmd/flags/flag_values.h"

namespace dqueue::cmd {
namespace {

const char* LevelName(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::trace:
      return "trace";
    case spdlog::level::debug:
      return "debug";
    case spdlog::level::info:
      return "info";
    case spdlog::level::warn:
      return "warn";
    case spdlog::level::err:
      return "error";
    default:
      return "fatal";
  }
}

class LineFormatter : public spdlog::formatter {
 public:
  explicit LineFormatter(LogFormat format) : format_(format) {}

  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) override {
    const std::string time =
        FormatTime(std::chrono::time_point_cast<WallTime::duration>(message.time));
    const std::string text(message.payload.data(), message.payload.size());
    std::string line;
    if (format_ == LogFormat::kJson) {
      line = "{\"time\":\"" + time + "\",\"level\":\"" + LevelName(message.level) +
             "\",\"message\":\"" + EscapedForJson(text) + "\"}\n";
    } else {
      std::string level = LevelName(message.level);
      level.resize(5, ' ');
      line = time + " " + level + " " + EscapedMessage(text) + "\n";
    }
    out.append(line.data(), line.data() + line.size());
  }

  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<LineFormatter>(format_);
  }

 private:
  LogFormat format_;
};

}  // namespace

void SetUpLog(const std::string& level, LogFormat format) {
  auto logger =
      std::make_shared<spdlog::logger>("dqueue", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_formatter(std::make_unique<LineFormatter>(format));
  logger->set_level(spdlog::level::from_str(level));
  logger->flush_on(spdlog::level::trace);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace dqueue::cmd
