// dqueue-cli: what one does with a queue, or with many of its jobs at once.
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
// Asked for in one call.
constexpr int kJobsACall = 10000;
// Bytes of an error in a table.
constexpr size_t kErrorShownMax = 80;

// pause and resume: both answer with the queue.
class QueueCommand : public Command {
 public:
  void AddFlags(FlagTable* table) override {
    table->Text("queue", &queue_, "QUEUE", "which one (required)");
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
      std::printf("%s %s\n", queue_.c_str(), Done());
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
    return {"pause", "", "no job of a queue is leased until it is resumed",
            "  dqueue-cli pause --queue mail\n"
            "  dqueue-cli pause --queue mail --refuse-enqueues\n\n"
            "Leases that run go on. Pausing again changes --refuse-enqueues.\n"};
  }
  void AddFlags(FlagTable* table) override {
    QueueCommand::AddFlags(table);
    table->Bool("refuse-enqueues", &refuse_enqueues_, "it takes no new jobs either");
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
    return {"resume", "", "a paused queue goes on", "  dqueue-cli resume --queue mail\n"};
  }

 protected:
  client::Result<client::QueueStats> Call(client::Client& client) override {
    return client.ResumeQueue(queue_);
  }
  const char* Done() const override { return "resumed"; }
};

// Calls until nothing is left, and tells how many jobs it was: "12 jobs purged".
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
  return result.ok() ? kExitOk : cli.Fail(result.status);
}

class PurgeCommand : public Command {
 public:
  CommandText text() const override {
    return {"purge", "", "delete the waiting jobs of a queue",
            "  dqueue-cli purge --queue mail\n"
            "  dqueue-cli purge --queue mail --state dead,cancelled --yes\n\n"
            "Jobs that are leased stay. On a terminal it asks first.\n"};
  }
  void AddFlags(FlagTable* table) override {
    table->Text("queue", &options_.queue, "QUEUE", "which one (required)");
    table->List("state", &states_, "STATE,…", "jobs in these states").Default("scheduled,ready");
    table->Bool("yes", &yes_, "do not ask");
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
      std::fputs("dqueue-cli: nothing was deleted\n", stderr);
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
    return {"dead", "", "what dead jobs died of, in groups",
            "  dqueue-cli dead --queue mail\n"
            "  dqueue-cli redrive --fingerprint 8a6f0e1c2b3d4f55\n\n"
            "Errors that differ in numbers, ids and quoted parts only are one group.\n"};
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
    if (result.value.more) std::fputs("dqueue-cli: there are more groups\n", stderr);
    return kExitOk;
  }

 private:
  // What fits a line, cut at a character.
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
    return {"redrive", "", "all dead jobs that match become ready again",
            "  dqueue-cli redrive --queue mail --error 'connection refused'\n"
            "  dqueue-cli redrive --fingerprint 8a6f0e1c2b3d4f55   # a group that dead shows\n"};
  }
  void AddFlags(FlagTable* table) override {
    table->Text("queue", &options_.queue, "QUEUE", "only jobs of this queue");
    table->Text("type", &options_.type, "TYPE", "only jobs of this type");
    table->Text("error", &options_.error_contains, "TEXT", "only if the last error has this in it");
    table->Text("fingerprint", &options_.error_fingerprint, "HEX", "only jobs of this group");
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
