// dqueue-cli get, list, cancel, retry, delete, wait.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <utility>

#include "cmd/cli/cli.h"
#include "cmd/cli/job_output.h"
#include "cmd/flags/text_output.h"

namespace dqueue::cmd {
namespace {

void PrintJob(const Cli& cli, const client::Job& job) {
  if (cli.json) {
    JsonWriter json;
    WriteJob(job, &json);
    std::puts(json.Take().c_str());
  } else {
    std::fputs(JobText(job).c_str(), stdout);
  }
}

class GetCommand : public Command {
 public:
  CommandText text() const override { return {"get", "ID", "print all fields of a job", ""}; }
  size_t args_min() const override { return 1; }
  size_t args_max() const override { return 1; }
  int Run(Cli& cli) override {
    const client::Result<client::Job> result = cli.client().Get(cli.args[0]);
    if (!result.ok()) return cli.Fail(result.status);
    PrintJob(cli, result.value);
    return kExitOk;
  }
};

class ListCommand : public Command {
 public:
  CommandText text() const override {
    return {"list", "", "list jobs, by queue, type and state",
            "  dqueue-cli list --state dead --queue mail\n"
            "  dqueue-cli list --all --full -o json\n"};
  }
  void AddFlags(FlagTable* table) override {
    table->Choice("state", &state_,
                  {"scheduled", "ready", "leased", "succeeded", "dead", "cancelled"},
                  "only jobs in this state");
    table->Text("queue", &filter_.queue, "QUEUE", "only jobs of this queue");
    table->Text("type", &filter_.type, "TYPE", "only jobs of this type");
    table->Integer("limit", &limit_, 1, 100'000'000, "maximum number of jobs (1 to 100000000)");
    table->Bool("all", &all_, "list all jobs, without a limit");
    table->Bool("full", &filter_.full, "include payloads, results, headers and labels");
  }
  int Run(Cli& cli) override {
    if (all_ && cli.flags->Given("limit")) {
      return cli.Usage("--all and --limit exclude each other");
    }
    if (!state_.empty()) filter_.state = client::ParseJobState(state_);
    uint64_t left = all_ ? UINT64_MAX : static_cast<uint64_t>(limit_);
    JsonWriter json;
    json.BeginObject().BeginArray("jobs");
    bool first_page = true;
    bool more = true;
    // A reader that has closed the pipe (`… | head`) wants no further page.
    while (more && left > 0 && std::ferror(stdout) == 0) {
      filter_.page_size = static_cast<int>(std::min<uint64_t>(left, 1000));
      const client::Result<client::JobPage> page = cli.client().List(filter_);
      if (!page.ok()) return cli.Fail(page.status);
      left -= std::min<uint64_t>(left, page.value.jobs.size());
      filter_.page_token = page.value.next_page_token;
      more = !filter_.page_token.empty();
      PrintPage(cli, page.value.jobs, std::exchange(first_page, false), &json);
    }
    if (cli.json) {
      std::puts(json.EndArray().Bool("more", more).EndObject().Take().c_str());
    } else if (more && std::ferror(stdout) == 0) {
      cli.Say("there are more; see --limit and --all");
    }
    return kExitOk;
  }

 private:
  // Prints one page, so that memory does not grow with the list.
  void PrintPage(const Cli& cli, const std::vector<client::Job>& jobs, bool first,
                 JsonWriter* json) const {
    if (cli.json) {
      for (const client::Job& job : jobs) WriteJob(job, json);
      std::fputs(json->Take().c_str(), stdout);
      return;
    }
    std::vector<std::string> header = {"ID",        "STATE",  "QUEUE",   "TYPE",    "PRIORITY",
                                       "DELIVERED", "FAILED", "CREATED", "RUN TIME"};
    if (filter_.full) header.emplace_back("PAYLOAD");
    TextTable table(header);
    for (const client::Job& job : jobs) {
      std::vector<std::string> row = {job.id,
                                      client::JobStateName(job.state),
                                      job.queue,
                                      job.type,
                                      std::to_string(job.priority),
                                      std::to_string(job.delivered),
                                      std::to_string(job.failed),
                                      TimeText(job.create_time),
                                      TimeText(job.run_time)};
      if (filter_.full) row.push_back(job.payload);
      table.Row(std::move(row));
    }
    std::fputs(table.ToString(first).c_str(), stdout);
  }

  client::ListFilter filter_;
  std::string state_;
  int64_t limit_ = 50;
  bool all_ = false;
};

// The base of cancel, retry and delete: one call for all ids, one result per id.
class ForEachIdCommand : public Command {
 public:
  size_t args_min() const override { return 1; }
  size_t args_max() const override { return 10000; }
  int Run(Cli& cli) override {
    const client::Result<std::vector<client::Status>> result = Call(cli.client(), cli.args);
    // A failure of the call is each item's; it is told once.
    const auto of_call = [&](const client::Status& status) {
      return status.code == result.status.code && status.message == result.status.message;
    };
    if (!result.ok() && cli.args.size() > 1 &&
        std::all_of(result.value.begin(), result.value.end(), of_call)) {
      return cli.Fail(result.status);
    }
    return PrintItems(cli, result.value);
  }

 protected:
  virtual client::Result<std::vector<client::Status>> Call(client::Client& client,
                                                           const std::vector<std::string>& ids) = 0;
  virtual const char* Done() const = 0;

 private:
  int PrintItems(const Cli& cli, const std::vector<client::Status>& statuses) const {
    JsonWriter json;
    json.BeginObject().BeginArray("results");
    int code = kExitOk;
    for (size_t i = 0; i < statuses.size() && i < cli.args.size(); ++i) {
      const client::Status& status = statuses[i];
      json.BeginObject().Text("id", cli.args[i]);
      WriteStatus(status, &json);
      json.EndObject();
      if (!status.ok()) {
        const int failed = cli.Fail(status, cli.args[i]);
        if (code == kExitOk) code = failed;
      } else if (!cli.json) {
        std::printf("%s %s\n", EscapedForText(cli.args[i]).c_str(), Done());
      }
    }
    if (cli.json) std::puts(json.EndArray().EndObject().Take().c_str());
    return code;
  }
};

class CancelCommand : public ForEachIdCommand {
 public:
  CommandText text() const override { return {"cancel", "ID…", "cancel unfinished jobs", ""}; }

 protected:
  client::Result<std::vector<client::Status>> Call(client::Client& client,
                                                   const std::vector<std::string>& ids) override {
    return client.Cancel(ids);
  }
  const char* Done() const override { return "cancelled"; }
};

class RetryCommand : public ForEachIdCommand {
 public:
  CommandText text() const override {
    return {"retry", "ID…", "make dead or cancelled jobs ready again", ""};
  }

 protected:
  client::Result<std::vector<client::Status>> Call(client::Client& client,
                                                   const std::vector<std::string>& ids) override {
    return client.Retry(ids);
  }
  const char* Done() const override { return "ready"; }
};

class DeleteCommand : public ForEachIdCommand {
 public:
  CommandText text() const override {
    return {"delete", "ID…", "delete jobs that are not leased", ""};
  }

 protected:
  client::Result<std::vector<client::Status>> Call(client::Client& client,
                                                   const std::vector<std::string>& ids) override {
    return client.DeleteJobs(ids);
  }
  const char* Done() const override { return "deleted"; }
};

class WaitCommand : public Command {
 public:
  CommandText text() const override {
    return {"wait", "ID", "wait until a job is finished, and print it",
            "  dqueue-cli wait ID --timeout 10m\n\n"
            "--timeout limits the wait; its default is 60s for this command.\n"};
  }
  size_t args_min() const override { return 1; }
  size_t args_max() const override { return 1; }
  int Run(Cli& cli) override {
    const client::Duration limit =
        cli.flags->Given("timeout") ? cli.client_options.timeout : std::chrono::seconds(60);
    const client::Result<client::Job> result = cli.client().WaitForCompletion(cli.args[0], limit);
    if (!result.ok()) return cli.Fail(result.status);
    PrintJob(cli, result.value);
    return result.value.state == client::JobState::kSucceeded ? kExitOk : kExitJobFailed;
  }
};

}  // namespace

void AddJobCommands(CommandList* list) {
  list->push_back(MakeEnqueueCommand());
  list->push_back(std::make_unique<GetCommand>());
  list->push_back(std::make_unique<ListCommand>());
  list->push_back(std::make_unique<CancelCommand>());
  list->push_back(std::make_unique<RetryCommand>());
  list->push_back(std::make_unique<DeleteCommand>());
  list->push_back(std::make_unique<WaitCommand>());
}

}  // namespace dqueue::cmd
