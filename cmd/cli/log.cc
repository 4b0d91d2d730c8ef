// dqueue-cli log: prints and verifies a node's log on disk. Offline and read-only.
#include <cstdio>
#include <optional>
#include <utility>

#include "cmd/cli/cli.h"
#include "cmd/flags/text_output.h"
#include "storage/log/log.h"

namespace dqueue::cmd {
namespace {

// The base of the log commands: finds the log and reads it.
class LogCommand : public Command {
 public:
  size_t args_min() const override { return 1; }
  size_t args_max() const override { return 1; }
  bool asks_server() const override { return false; }

 protected:
  // nullopt: an error was printed, and *code is the exit status.
  static std::optional<storage::LogReport> Inspect(
      const Cli& cli, const std::function<void(const std::string&)>& line, int* code) {
    storage::FileSystem& fs = storage::PosixFileSystem();
    std::string directory = cli.args[0];
    // The argument may be the node's data directory.
    if (const absl::StatusOr<bool> wal = fs.Exists(directory + "/wal"); wal.ok() && *wal) {
      directory += "/wal";
    }
    absl::StatusOr<storage::LogReport> report = storage::InspectLog(fs, directory, line);
    if (report.ok()) return *std::move(report);
    cli.Say(std::string(report.status().message()));
    switch (report.status().code()) {
      case absl::StatusCode::kNotFound:
        *code = kExitNotFound;
        break;
      case absl::StatusCode::kDataLoss:
        *code = kExitVerifyFailed;
        break;
      case absl::StatusCode::kPermissionDenied:
        *code = kExitDenied;
        break;
      default:
        *code = kExitGeneric;
    }
    return std::nullopt;
  }

  // Returns 0; 9 after printing the place of the damage.
  static int Judge(const Cli& cli, const storage::LogReport& report) {
    if (!report.damage) return kExitOk;
    cli.Say(report.damage->file + ":" + std::to_string(report.damage->offset) + ": " +
            report.damage->reason);
    return kExitVerifyFailed;
  }
};

class DumpCommand : public LogCommand {
 public:
  CommandText text() const override {
    return {"log dump", "DIR", "print the records of a log, one per line",
            "DIR is a node's data directory, or the wal directory in it.\n"};
  }
  int Run(Cli& cli) override {
    int code = kExitOk;
    const auto report = Inspect(
        cli, [](const std::string& line) { std::puts(EscapedMessage(line).c_str()); }, &code);
    return report ? Judge(cli, *report) : code;
  }
};

class VerifyCommand : public LogCommand {
 public:
  CommandText text() const override {
    return {"log verify", "DIR", "verify all records of a log",
            "DIR is a node's data directory, or the wal directory in it. Changes nothing. If\n"
            "the log is damaged, prints file:offset: reason; the exit status is 9.\n"};
  }
  int Run(Cli& cli) override {
    int code = kExitOk;
    const auto report = Inspect(cli, nullptr, &code);
    if (!report) return code;
    cli.json ? PrintJson(*report) : PrintText(*report);
    return Judge(cli, *report);
  }

 private:
  static void PrintText(const storage::LogReport& report) {
    std::printf("node %s: %s records in %zu segments, entries %llu to %llu, term %llu\n",
                EscapedForText(report.identity.node_name).c_str(), Grouped(report.records).c_str(),
                report.segments.size(),
                static_cast<unsigned long long>(report.raft.compacted_index.value() + 1),
                static_cast<unsigned long long>(report.raft.last_index.value()),
                static_cast<unsigned long long>(report.raft.hard_state.term.value()));
    std::printf("%s; %s\n",
                report.clean_shutdown ? "shut down cleanly" : "in use, or not shut down cleanly",
                report.damage           ? "DAMAGED"
                : report.torn_bytes > 0 ? ("intact; " + std::to_string(report.torn_bytes) +
                                           " bytes of an unacknowledged write at the end")
                                              .c_str()
                                        : "intact");
  }

  static void PrintJson(const storage::LogReport& report) {
    JsonWriter json;
    json.BeginObject()
        .Text("node_id", report.identity.node_name)
        .Bool("intact", !report.damage)
        .Unsigned("segments", report.segments.size())
        .Unsigned("records", report.records)
        .Unsigned("first_index", report.raft.compacted_index.value() + 1)
        .Unsigned("last_index", report.raft.last_index.value())
        .Unsigned("snapshot_index", report.raft.snapshot.index.value())
        .Unsigned("term", report.raft.hard_state.term.value())
        .Unsigned("torn_bytes", report.torn_bytes)
        .Bool("clean_shutdown", report.clean_shutdown);
    if (report.damage) {
      json.BeginObject("damage")
          .Text("file", report.damage->file)
          .Unsigned("offset", report.damage->offset)
          .Text("reason", report.damage->reason)
          .EndObject();
    } else {
      json.Null("damage");
    }
    std::puts(json.EndObject().Take().c_str());
  }
};

}  // namespace

void AddLogCommands(CommandList* list) {
  list->push_back(std::make_unique<DumpCommand>());
  list->push_back(std::make_unique<VerifyCommand>());
}

}  // namespace dqueue::cmd
