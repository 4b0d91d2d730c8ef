// dqueue-cli: the worker's side by hand, for scripts and for looking into things.
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
    return {"lease", "", "take jobs, as a worker does",
            "  dqueue-cli lease --queue mail --max 10 --wait 20s -o json\n\n"
            "Each job comes with a token that ack, nack, extend and release need. No job ready is\n"
            "no error.\n"};
  }
  void AddFlags(FlagTable* table) override {
    options_.worker_id = "dqueue-cli";
    table->List("queue", &options_.queues, "QUEUE,…", "from these; default: default");
    table->List("type", &options_.types, "TYPE,…", "only jobs of these types");
    table->Integer("max", &max_, 1, queue::kLeaseJobsMax, "at most this many");
    table->Duration("wait", &options_.wait, {Millis(0), Millis(queue::kWaitMsMax)},
                    "how long to wait for a first one");
    table->Text("worker-id", &options_.worker_id, "NAME", "who holds them");
    table->Duration("lease-duration", &options_.lease_duration, kLeaseRange,
                    "the jobs come back after this; default: the node's --lease-timeout");
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
      std::fputs("dqueue-cli: no job is ready\n", stderr);
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

// What is done to one leased job with its token.
class TokenCommand : public Command {
 public:
  size_t args_min() const override { return 1; }
  size_t args_max() const override { return 1; }
  void AddFlags(FlagTable* table) override {
    table->Text("token", &token_, "TOKEN", "as lease printed it (required)");
  }
  int Run(Cli& cli) override {
    if (token_.empty()) return cli.Usage("--token is required: what lease printed");
    const std::optional<client::FencingToken> token = client::FencingToken::Parse(token_);
    if (!token) {
      return cli.Usage("--token: " + Quoted(token_) + " is not a token; one looks like " +
                       client::FencingToken{3, 18, 1234}.ToString());
    }
    client::Result<std::vector<client::Status>> result =
        Call(cli.client(), client::LeaseRef{cli.args[0], *token});
    if (result.ok() && !result.value.empty()) result.status = result.value[0];
    if (!result.ok()) return cli.Fail(result.status, cli.args[0]);
    if (cli.json) {
      JsonWriter json;
      json.BeginObject().Text("id", cli.args[0]);
      WriteStatus(result.status, &json);
      std::puts(json.EndObject().Take().c_str());
    } else {
      std::printf("%s %s\n", cli.args[0].c_str(), Done());
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
    return {"ack", "ID --token T", "the job is done", "  dqueue-cli ack ID --token T\n"};
  }
  void AddFlags(FlagTable* table) override {
    TokenCommand::AddFlags(table);
    table->Text("result", &result_, "TEXT", "kept with the job").AllowEmpty();
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
            "the job failed; it is retried, or dead when retries are used up",
            "  dqueue-cli nack ID --token T --reason 'database connection failed'\n"};
  }
  void AddFlags(FlagTable* table) override {
    TokenCommand::AddFlags(table);
    table->Text("reason", &reason_, "TEXT", "kept with the job").AllowEmpty();
    table->Bool("reject", &reject_, "dead at once, no retry");
    table->Duration("delay", &delay_, {Millis(0), Millis(queue::kBackoffMsMax)},
                    "retry after this, instead of what the job's policy says");
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
    return {"extend", "ID --token T", "more time for the job's lease", ""};
  }
  void AddFlags(FlagTable* table) override {
    TokenCommand::AddFlags(table);
    table->Duration("lease-duration", &duration_, kLeaseRange,
                    "the lease ends this long from now; default: the node's --lease-timeout");
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
    return {"release", "ID --token T", "give the job back unharmed", ""};
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
