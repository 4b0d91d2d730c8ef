// dqueue-cli pause, resume, purge, dead, redrive.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "cmd/cli/cli.h"
#include "cmd/cli/job_output.h"
#include "cmd/flags/text_output.h"

namespace dqueue::cmd {
namespace {

constexpr char kQueueRequired[] = "--queue is required: the name of the queue";
// Jobs per call.
constexpr int kJobsACall = 10000;
// Bytes of an error that a table shows.
constexpr size_t kErrorShownMax = 80;

// The base of pause and resume, whose calls return the queue.
class QueueCommand : public Command {
 public:
  void AddFlags(FlagTable* table) override {
    table->Text("queue", &queue_, "QUEUE", "name of the queue (required)");
  }
  int Run(Cli& cli) override {
    if (queue_.empty()) return cli.Usage(kQueueRequired);
    const client::Result<client::QueueStats> result = Call(cli.client());
    if (!result.ok()) return cli.Fail(result.status);
    if (cli.json) {
      JsonWriter json;
      WriteQueue(result.value, &json);
      std::puts(json.Take().c_str());
    } else {
      std::printf("%s %s\n", EscapedForText(queue_).c_str(), Done());
    }
    return kExitOk;
  }

 protected:
  virtual client::Result<client::QueueStats> Call(client::Client& client) = 0;
  virtual const char* Done() const = 0;

  std::string queue_;
};

class PauseCommand : public QueueCommand {
 public:
  CommandText text() const override {
    return {"pause", "", "stop leasing jobs of a queue until it is resumed",
            "  dqueue-cli pause --queue mail\n"
            "  dqueue-cli pause --queue mail --refuse-enqueues\n\n"
            "Running leases continue. Pausing again changes --refuse-enqueues.\n"};
  }
  void AddFlags(FlagTable* table) override {
    QueueCommand::AddFlags(table);
    table->Bool("refuse-enqueues", &refuse_enqueues_, "also refuse new jobs");
  }

 protected:
  client::Result<client::QueueStats> Call(client::Client& client) override {
    return client.PauseQueue(queue_, refuse_enqueues_);
  }
  const char* Done() const override { return refuse_enqueues_ ? "paused, refuses jobs" : "paused"; }

 private:
  bool refuse_enqueues_ = false;
};

class ResumeCommand : public QueueCommand {
 public:
  CommandText text() const override {
    return {"resume", "", "resume a paused queue", "  dqueue-cli resume --queue mail\n"};
  }

 protected:
  client::Result<client::QueueStats> Call(client::Client& client) override {
    return client.ResumeQueue(queue_);
  }
  const char* Done() const override { return "resumed"; }
};

// Repeats the call until no job is left, then prints the number of jobs: "12 jobs purged".
template <class F>
int Sweep(const Cli& cli, const char* done, const F& call) {
  uint64_t jobs = 0;
  client::Result<client::SweepResult> result;
  do {
    result = call();
    jobs += result.value.jobs;
  } while (result.ok() && result.value.more);
  if (cli.json) {
    std::puts(JsonWriter().BeginObject().Unsigned(done, jobs).EndObject().Take().c_str());
  } else if (result.ok() || jobs > 0) {
    std::printf("%s jobs %s\n", Grouped(jobs).c_str(), done);
  }
  if (result.ok()) return kExitOk;
  // Not repeated here: a job that was redriven may be dead again for another reason.
  const bool unknown = result.status.code == client::Code::kUnknownOutcome;
  return cli.Fail(result.status,
                  unknown ? std::string("more jobs may have been ") + done : std::string());
}

class PurgeCommand : public Command {
 public:
  CommandText text() const override {
    return {"purge", "", "delete the waiting jobs of a queue",
            "  dqueue-cli purge --queue mail\n"
            "  dqueue-cli purge --queue mail --state dead,cancelled --yes\n\n"
            "Leased jobs are not deleted. Asks for confirmation on a terminal.\n"};
  }
  void AddFlags(FlagTable* table) override {
    table->Text("queue", &options_.queue, "QUEUE", "name of the queue (required)");
    table->List("state", &states_, "STATE,…", "delete jobs in these states")
        .Default("scheduled,ready");
    table->Bool("yes", &yes_, "do not ask for confirmation");
  }
  int Run(Cli& cli) override {
    if (options_.queue.empty()) return cli.Usage(kQueueRequired);
    for (const std::string& name : states_) {
      const std::optional<client::JobState> state = client::ParseJobState(name);
      if (!state || *state == client::JobState::kLeased) {
        return cli.Usage("--state: " + Quoted(name) +
                         " is not one of scheduled, ready, succeeded, dead, cancelled");
      }
      options_.states.push_back(*state);
    }
    if (!yes_ && isatty(STDIN_FILENO) == 1 && !Confirmed()) {
      cli.Say("nothing was deleted");
      return kExitGeneric;
    }
    options_.max_jobs = kJobsACall;
    return Sweep(cli, "purged", [&] { return cli.client().PurgeQueue(options_); });
  }

 private:
  bool Confirmed() const {
    std::string states;
    for (const client::JobState state : options_.states) {
      states += (states.empty() ? "" : " and ") + std::string(client::JobStateName(state));
    }
    std::fprintf(stderr, "Delete all %s jobs of queue %s? [y/N] ",
                 states.empty() ? "SCHEDULED and READY" : states.c_str(),
                 Quoted(options_.queue).c_str());
    const int answer = std::getchar();
    return answer == 'y' || answer == 'Y';
  }

  client::PurgeOptions options_;
  std::vector<std::string> states_;
  bool yes_ = false;
};

class DeadCommand : public Command {
 public:
  CommandText text() const override {
    return {"dead", "", "group dead jobs by their last error",
            "  dqueue-cli dead --queue mail\n"
            "  dqueue-cli redrive --fingerprint 8a6f0e1c2b3d4f55\n\n"
            "Errors that differ only in numbers, ids and quoted parts form one group.\n"};
  }
  void AddFlags(FlagTable* table) override {
    table->Text("queue", &queue_, "QUEUE", "only jobs of this queue");
    table->Text("type", &type_, "TYPE", "only jobs of this type");
  }
  int Run(Cli& cli) override {
    const client::Result<client::DeadGroups> result = cli.client().GroupDeadJobs(queue_, type_);
    if (!result.ok()) return cli.Fail(result.status);
    if (cli.json) {
      JsonWriter json;
      json.BeginObject().BeginArray("groups");
      for (const client::DeadGroup& group : result.value.groups) WriteDeadGroup(group, &json);
      std::puts(json.EndArray().Bool("more", result.value.more).EndObject().Take().c_str());
      return kExitOk;
    }
    TextTable table({"JOBS", "QUEUE", "TYPE", "REASON", "FINGERPRINT", "LAST", "EXAMPLE", "ERROR"});
    for (const client::DeadGroup& group : result.value.groups) {
      table.Row({std::to_string(group.jobs), group.queue, group.type, group.reason,
                 group.error_fingerprint, TimeText(group.last_time),
                 group.sample_ids.empty() ? "-" : group.sample_ids[0], Beginning(group.error)});
    }
    std::fputs(table.ToString().c_str(), stdout);
    if (result.value.more) cli.Say("there are more groups");
    return kExitOk;
  }

 private:
  // The first line, up to kErrorShownMax bytes, cut between characters.
  static std::string Beginning(const std::string& error) {
    size_t end = std::min(error.find('\n'), kErrorShownMax);
    if (end >= error.size()) return error;
    while (end > 0 && (static_cast<unsigned char>(error[end]) & 0xc0) == 0x80) --end;
    return error.substr(0, end) + "...";
  }

  std::string queue_;
  std::string type_;
};

class RedriveCommand : public Command {
 public:
  CommandText text() const override {
    return {"redrive", "", "make all matching dead jobs ready again",
            "  dqueue-cli redrive --queue mail --error 'connection refused'\n"
            "  dqueue-cli redrive --fingerprint 8a6f0e1c2b3d4f55   # a group that dead prints\n"};
  }
  void AddFlags(FlagTable* table) override {
    table->Text("queue", &options_.queue, "QUEUE", "only jobs of this queue");
    table->Text("type", &options_.type, "TYPE", "only jobs of this type");
    table->Text("error", &options_.error_contains, "TEXT",
                "only jobs whose last error contains this text");
    table->Text("fingerprint", &options_.error_fingerprint, "HEX",
                "only jobs of this group (16 hexadecimal digits)");
  }
  int Run(Cli& cli) override {
    options_.max_jobs = kJobsACall;
    return Sweep(cli, "redriven", [&] { return cli.client().RedriveJobs(options_); });
  }

 private:
  client::RedriveOptions options_;
};

}  // namespace

void AddQueueCommands(CommandList* list) {
  list->push_back(std::make_unique<PauseCommand>());
  list->push_back(std::make_unique<ResumeCommand>());
  list->push_back(std::make_unique<PurgeCommand>());
  list->push_back(std::make_unique<DeadCommand>());
  list->push_back(std::make_unique<RedriveCommand>());
}

}  // namespace dqueue::cmd
