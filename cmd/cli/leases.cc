// dqueue-cli lease, ack, nack, extend, release: the calls of a worker, for scripts and debugging.
#include <cstdio>
#include <utility>

#include "cmd/cli/cli.h"
#include "cmd/cli/job_output.h"
#include "cmd/flags/text_output.h"
#include "queue/api/limits.h"

namespace dqueue::cmd {
namespace {

constexpr DurationRange kLeaseRange{Millis(queue::kLeaseMsMin), Millis(queue::kLeaseMsMax)};

class LeaseCommand : public Command {
 public:
  CommandText text() const override {
    return {"lease", "", "lease ready jobs, as a worker does",
            "  dqueue-cli lease --queue mail --max 10 --wait 20s -o json\n\n"
            "Prints each job with the token that ack, nack, extend and release need. The exit\n"
            "status is 0 even if no job is ready.\n"};
  }
  void AddFlags(FlagTable* table) override {
    options_.worker_id = "dqueue-cli";
    table->List("queue", &options_.queues, "QUEUE,…", "queues to lease from; none: default");
    table->List("type", &options_.types, "TYPE,…", "only jobs of these types");
    table->Integer("max", &max_, 1, queue::kLeaseJobsMax, "maximum number of jobs (1 to 1000)");
    table->Duration("wait", &options_.wait, {Millis(0), Millis(queue::kWaitMsMax)},
                    "time to wait for the first job (0s to 1m)");
    table->Text("worker-id", &options_.worker_id, "NAME", "name of the worker that holds the jobs");
    table->Duration("lease-duration", &options_.lease_duration, kLeaseRange,
                    "lease of the jobs (1s to 12h); none: the job's or the node's --lease-timeout");
  }
  int Run(Cli& cli) override {
    options_.max_jobs = static_cast<int>(max_);
    const client::Result<std::vector<client::Job>> result = cli.client().Lease(options_);
    if (!result.ok()) return cli.Fail(result.status);
    if (cli.json) {
      JsonWriter json;
      json.BeginObject().BeginArray("jobs");
      for (const client::Job& job : result.value) WriteJob(job, &json);
      std::puts(json.EndArray().EndObject().Take().c_str());
      return kExitOk;
    }
    if (result.value.empty()) {
      cli.Say("no job is ready");
      return kExitOk;
    }
    TextTable table({"ID", "TOKEN", "QUEUE", "TYPE", "ATTEMPT", "PAYLOAD"});
    for (const client::Job& job : result.value) {
      table.Row({job.id, job.token.ToString(), job.queue, job.type,
                 std::to_string(1 + job.failed + job.expired), job.payload});
    }
    std::fputs(table.ToString().c_str(), stdout);
    return kExitOk;
  }

 private:
  client::LeaseOptions options_;
  int64_t max_ = 1;
};

// The base of commands for one leased job and its token.
class TokenCommand : public Command {
 public:
  size_t args_min() const override { return 1; }
  size_t args_max() const override { return 1; }
  void AddFlags(FlagTable* table) override {
    table->Text("token", &token_, "TOKEN", "token that lease printed (required)");
  }
  int Run(Cli& cli) override {
    if (token_.empty()) return cli.Usage("--token is required: the token that lease printed");
    const std::optional<client::FencingToken> token = client::FencingToken::Parse(token_);
    if (!token) {
      return cli.Usage("--token: " + Quoted(token_) + " is not a token; the form is " +
                       client::FencingToken{3, 18, 1234}.ToString());
    }
    client::Result<std::vector<client::Status>> result =
        Call(cli.client(), client::LeaseRef{cli.args[0], *token});
    if (!result.value.empty()) result.status = result.value[0];
    if (!result.ok()) return cli.Fail(result.status, cli.args[0]);
    if (cli.json) {
      JsonWriter json;
      json.BeginObject().Text("id", cli.args[0]);
      WriteStatus(result.status, &json);
      std::puts(json.EndObject().Take().c_str());
    } else {
      std::printf("%s %s\n", EscapedForText(cli.args[0]).c_str(), Done());
    }
    return kExitOk;
  }

 protected:
  virtual client::Result<std::vector<client::Status>> Call(client::Client& client,
                                                           const client::LeaseRef& lease) = 0;
  virtual const char* Done() const = 0;

 private:
  std::string token_;
};

class AckCommand : public TokenCommand {
 public:
  CommandText text() const override {
    return {"ack", "ID --token T", "complete a leased job", "  dqueue-cli ack ID --token T\n"};
  }
  void AddFlags(FlagTable* table) override {
    TokenCommand::AddFlags(table);
    table->Text("result", &result_, "TEXT", "result to store with the job").AllowEmpty();
  }

 protected:
  client::Result<std::vector<client::Status>> Call(client::Client& client,
                                                   const client::LeaseRef& lease) override {
    return client.Complete({{lease.id, lease.token, result_}});
  }
  const char* Done() const override { return "succeeded"; }

 private:
  std::string result_;
};

class NackCommand : public TokenCommand {
 public:
  CommandText text() const override {
    return {"nack", "ID --token T",
            "fail a leased job; it is retried, or dead without retries left",
            "  dqueue-cli nack ID --token T --reason 'database connection failed'\n"};
  }
  void AddFlags(FlagTable* table) override {
    TokenCommand::AddFlags(table);
    table->Text("reason", &reason_, "TEXT", "error to store with the job").AllowEmpty();
    table->Bool("reject", &reject_, "make the job dead, without a retry");
    table->Duration("delay", &delay_, {Millis(0), Millis(queue::kBackoffMsMax)},
                    "delay of the retry, instead of the job's policy (0s to 720h)");
  }

 protected:
  client::Result<std::vector<client::Status>> Call(client::Client& client,
                                                   const client::LeaseRef& lease) override {
    client::Failure failure;
    failure.id = lease.id;
    failure.token = lease.token;
    failure.error = reason_;
    failure.reject = reject_;
    failure.retry_delay = delay_;
    return client.Fail({failure});
  }
  const char* Done() const override { return reject_ ? "rejected" : "failed"; }

 private:
  std::string reason_;
  bool reject_ = false;
  std::optional<Millis> delay_;
};

class ExtendCommand : public TokenCommand {
 public:
  CommandText text() const override {
    return {"extend", "ID --token T", "extend the lease of a job", ""};
  }
  void AddFlags(FlagTable* table) override {
    TokenCommand::AddFlags(table);
    table->Duration("lease-duration", &duration_, kLeaseRange,
                    "lease from now (1s to 12h); none: the node's --lease-timeout");
  }

 protected:
  client::Result<std::vector<client::Status>> Call(client::Client& client,
                                                   const client::LeaseRef& lease) override {
    return client.Extend({lease}, duration_);
  }
  const char* Done() const override { return "extended"; }

 private:
  std::optional<Millis> duration_;
};

class ReleaseCommand : public TokenCommand {
 public:
  CommandText text() const override {
    return {"release", "ID --token T", "return a leased job to its queue; no counter changes", ""};
  }

 protected:
  client::Result<std::vector<client::Status>> Call(client::Client& client,
                                                   const client::LeaseRef& lease) override {
    return client.Release({lease});
  }
  const char* Done() const override { return "released"; }
};

}  // namespace

void AddLeaseCommands(CommandList* list) {
  list->push_back(std::make_unique<LeaseCommand>());
  list->push_back(std::make_unique<AckCommand>());
  list->push_back(std::make_unique<NackCommand>());
  list->push_back(std::make_unique<ExtendCommand>());
  list->push_back(std::make_unique<ReleaseCommand>());
}

}  // namespace dqueue::cmd
