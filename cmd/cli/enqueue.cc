// dqueue-cli enqueue: one job, copies of a job, or a file of jobs.
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <sstream>
#include <utility>

#include "cmd/cli/bulk_enqueue.h"
#include "cmd/cli/cli.h"
#include "cmd/cli/job_file.h"
#include "cmd/cli/job_output.h"
#include "cmd/flags/text_output.h"
#include "queue/api/limits.h"

namespace dqueue::cmd {
namespace {

// Further errors are counted but not printed.
constexpr uint64_t kErrorsShownMax = 20;

absl::Status Bad(const std::string& message) { return absl::InvalidArgumentError(message); }

// A file, or standard input for "-".
class Input {
 public:
  absl::Status Open(const std::string& path) {
    if (path == "-") {
      stream_ = &std::cin;
      name_ = "standard input";
      return absl::OkStatus();
    }
    name_ = path;
    struct stat info = {};
    if (stat(path.c_str(), &info) != 0) return Refused(errno);
    if (S_ISDIR(info.st_mode)) return Refused(EISDIR);
    if (S_ISREG(info.st_mode)) size_ = static_cast<uint64_t>(info.st_size);
    file_.open(path, std::ios::binary);
    if (!file_) return Refused(errno);
    stream_ = &file_;
    return absl::OkStatus();
  }
  std::istream& stream() { return *stream_; }
  const std::string& name() const { return name_; }
  uint64_t size() const { return size_; }  // bytes; 0: unknown

 private:
  absl::Status Refused(int error) const {
    return Bad("cannot read " + Quoted(name_) + ": " + std::strerror(error));
  }
  std::ifstream file_;
  std::istream* stream_ = nullptr;
  std::string name_;
  uint64_t size_ = 0;
};

// Returns the payload for --payload: its text, the content of a file (@file) or of standard input
// (-).
absl::StatusOr<std::string> ReadPayload(const std::string& value) {
  std::string payload = value;
  if (value == "-" || value.rfind('@', 0) == 0) {
    Input input;
    const std::string path = value == "-" ? value : value.substr(1);
    if (absl::Status status = input.Open(path); !status.ok()) return status;
    payload.clear();
    // One byte above the limit, to detect longer input.
    payload.resize(queue::kPayloadBytesMax + 1);
    input.stream().read(payload.data(), static_cast<std::streamsize>(payload.size()));
    payload.resize(static_cast<size_t>(input.stream().gcount()));
  }
  if (payload.size() > queue::kPayloadBytesMax) {
    return Bad("the payload has more than " + std::to_string(queue::kPayloadBytesMax) +
               " bytes, the limit of a payload");
  }
  return payload;
}

class EnqueueCommand : public Command {
 public:
  CommandText text() const override {
    return {"enqueue", "", "enqueue a job or a file of jobs",
            "  dqueue-cli enqueue -type email -payload '{\"to\":\"user@example.com\"}'\n"
            "  dqueue-cli enqueue --type email --payload @mail.json --priority 10 --delay 5m\n"
            "  dqueue-cli enqueue --file jobs.json\n\n"
            "Prints the id of a single job, or counts. A file holds an array of objects, or one\n"
            "object per line, with the fields id, type, queue, payload, payload_base64, priority,\n"
            "timeout_ms, delay_ms, run_at, max_retries, idempotency_key, headers and labels.\n"
            "payload is any JSON value. With --file, the other flags are the defaults of fields\n"
            "that a job does not have.\n"};
  }

  void AddFlags(FlagTable* table) override {
    spec_.queue = "default";
    table->Text("type", &spec_.type, "TYPE", "type of the job; workers can select by type");
    table->Text("queue", &spec_.queue, "QUEUE", "queue of the job");
    table
        ->Text("payload", &payload_, "TEXT|@FILE|-",
               "payload for the worker; @FILE: a file's content; -: standard input")
        .AllowEmpty();
    table->Integer("priority", &priority_, 0, queue::kPriorityMax,
                   "priority; higher is leased first (0 to 255)");
    table->Duration("delay", &spec_.delay, {Millis(0), Millis(queue::kRunTimeAheadMsMax)},
                    "earliest start, from now (0s to 87672h)");
    table->Time("run-at", &spec_.run_time, "earliest start, in RFC 3339; a time in the past: now");
    table->Integer("max-retries", &max_retries_, 0, queue::kRetriesMax,
                   "retries of the failed job before it is dead (0 to 1000); none: the node's");
    table->Text("idempotency-key", &spec_.idempotency_key, "KEY",
                "a second job with this key creates nothing and prints the first job's id");
    table->Text("id", &spec_.id, "ID", "id of the job; none: a new UUIDv7");
    table->Text("file", &file_, "FILE|-", "file of jobs in JSON; -: standard input");
    table->Integer("count", &count_, 1, 100'000'000,
                   "number of copies of the job (1 to 100000000)");
    table->Bool("all-or-nothing", &all_or_nothing_,
                "with --file: create all jobs or none (up to 10,000 jobs)");
    table->Bool("print-ids", &print_ids_, "with --file or --count: print the ids, in order");
  }

  int Run(Cli& cli) override {
    if (spec_.delay && spec_.run_time) return cli.Usage("--delay and --run-at exclude each other");
    spec_.priority = static_cast<int>(priority_);
    if (max_retries_) spec_.retry.max_retries = static_cast<int>(*max_retries_);
    const bool from_file = cli.flags->Given("file");
    if (from_file) {
      for (const char* name : {"payload", "id", "idempotency-key", "count"}) {
        if (cli.flags->Given(name)) {
          return cli.Usage("--file and --" + std::string(name) + " exclude each other");
        }
      }
    } else if (all_or_nothing_) {
      return cli.Usage("--all-or-nothing needs --file");
    }
    if (count_ > 1) {
      for (const char* name : {"id", "idempotency-key"}) {
        if (cli.flags->Given(name)) {
          return cli.Usage("--count and --" + std::string(name) +
                           " exclude each other: the copies would be one job");
        }
      }
    }
    if (print_ids_ && cli.json) return cli.Usage("--print-ids and -o json exclude each other");
    if (!from_file) {
      absl::StatusOr<std::string> payload = ReadPayload(payload_);
      if (!payload.ok()) return cli.Usage("--payload: " + std::string(payload.status().message()));
      spec_.payload = *std::move(payload);
      if (!cli.flags->Given("count")) return EnqueueOne(cli);
      return EnqueueCopies(cli);
    }
    Input input;
    if (absl::Status status = input.Open(file_); !status.ok()) {
      return cli.Usage("--file: " + std::string(status.message()));
    }
    return all_or_nothing_ ? EnqueueAtomically(cli, input) : EnqueueFile(cli, input);
  }

 private:
  int EnqueueOne(Cli& cli) {
    const client::Result<client::Enqueued> result = cli.client().Enqueue(spec_);
    if (!result.ok()) return cli.Fail(result.status);
    if (cli.json) {
      JsonWriter json;
      json.BeginObject().Text("id", result.value.id).Bool("created", result.value.created);
      std::puts(json.EndObject().Take().c_str());
    } else {
      std::puts(EscapedForText(result.value.id).c_str());
      if (!result.value.created) cli.Say("the job is there already; nothing was created");
    }
    return kExitOk;
  }

  int EnqueueCopies(Cli& cli) {
    ProgressBar progress("enqueue", static_cast<uint64_t>(count_));
    BulkEnqueue bulk(&cli.client(), Report(cli));
    const auto start = std::chrono::steady_clock::now();
    for (int64_t i = 0; i < count_; ++i) {
      if (!bulk.Add(spec_)) {
        stopped_ = true;
        break;
      }
      progress.Update(bulk.counts().submitted, bulk.counts().submitted);
    }
    bulk.Finish();
    return Finish(cli, bulk, start, kExitOk);
  }

  int EnqueueFile(Cli& cli, Input& input) {
    ProgressBar progress("enqueue", input.size());
    JobFileReader reader(input.stream(), input.name(), spec_);
    BulkEnqueue bulk(&cli.client(), Report(cli));
    const auto start = std::chrono::steady_clock::now();
    int code = kExitOk;
    for (;;) {
      absl::StatusOr<std::optional<client::JobSpec>> job = reader.Next();
      if (!job.ok()) {
        bulk.Finish();
        code = cli.Usage(std::string(job.status().message()) + "; the jobs before it were sent");
        break;
      }
      if (!*job) break;
      if (!bulk.Add(**std::move(job))) {
        stopped_ = true;
        break;
      }
      progress.Update(reader.bytes_read(), bulk.counts().submitted);
    }
    bulk.Finish();
    return Finish(cli, bulk, start, code);
  }

  int EnqueueAtomically(Cli& cli, Input& input) {
    JobFileReader reader(input.stream(), input.name(), spec_);
    std::vector<client::JobSpec> jobs;
    for (;;) {
      absl::StatusOr<std::optional<client::JobSpec>> job = reader.Next();
      if (!job.ok()) return cli.Usage(std::string(job.status().message()) + "; nothing was sent");
      if (!*job) break;
      if (jobs.size() == queue::kBatchItemsMax) {
        return cli.Usage("--all-or-nothing: " + input.name() + " has more than " +
                         std::to_string(queue::kBatchItemsMax) + " jobs; nothing was sent");
      }
      jobs.push_back(**std::move(job));
    }
    const auto start = std::chrono::steady_clock::now();
    BulkCounts counts;
    std::optional<client::Status> failure;
    if (!jobs.empty()) {
      const auto result = cli.client().EnqueueMany(std::move(jobs), /*all_or_nothing=*/true);
      if (!result.ok()) return cli.Fail(result.status, "nothing was created");
      const auto report = Report(cli);
      for (uint64_t i = 0; i < result.value.size(); ++i) {
        const client::Result<client::Enqueued>& item = result.value[i];
        ++counts.submitted;
        ++(!item.ok() ? counts.failed : item.value.created ? counts.created : counts.existing);
        if (!item.ok() && !failure) failure = item.status;
        report(i, item);
      }
    }
    return Print(cli, counts, failure, start, kExitOk);
  }

  // Prints the id or the error of each job.
  BulkEnqueue::OnResult Report(const Cli& cli) {
    return [this, &cli](uint64_t item, const client::Result<client::Enqueued>& result) {
      if (result.ok()) {
        if (print_ids_) std::puts(EscapedForText(result.value.id).c_str());
        return;
      }
      if (errors_.size() == kErrorsShownMax) return;
      errors_.emplace_back(item, result.status);
      cli.Say("item " + std::to_string(item) + ": " + Describe(result.status));
    };
  }

  int Finish(Cli& cli, const BulkEnqueue& bulk, std::chrono::steady_clock::time_point start,
             int code) {
    if (stopped_) {
      std::fprintf(stderr,
                   "dqueue-cli: stopped, because every further job would fail; the jobs from item "
                   "%llu on were not sent\n",
                   static_cast<unsigned long long>(bulk.counts().submitted));
    }
    return Print(cli, bulk.counts(), bulk.first_failure(), start, code);
  }

  int Print(Cli& cli, const BulkCounts& counts, const std::optional<client::Status>& failure,
            std::chrono::steady_clock::time_point start, int code) {
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (cli.json) {
      JsonWriter json;
      json.BeginObject()
          .Unsigned("submitted", counts.submitted)
          .Unsigned("created", counts.created)
          .Unsigned("existing", counts.existing)
          .Unsigned("failed", counts.failed)
          .Real("seconds", seconds)
          .BeginArray("errors");
      for (const auto& [item, status] : errors_) {
        json.BeginObject().Unsigned("item", item);
        WriteStatus(status, &json);
        json.EndObject();
      }
      std::puts(json.EndArray().EndObject().Take().c_str());
    } else {
      // With --print-ids standard output has the ids only.
      std::fprintf(print_ids_ ? stderr : stdout,
                   "%s jobs: %s created, %s there already, %s failed, in %.2f s\n",
                   Grouped(counts.submitted).c_str(), Grouped(counts.created).c_str(),
                   Grouped(counts.existing).c_str(), Grouped(counts.failed).c_str(), seconds);
    }
    if (code != kExitOk) return code;
    return failure ? ExitOf(failure->code) : kExitOk;
  }

  client::JobSpec spec_;
  std::string payload_;
  int64_t priority_ = 0;
  std::optional<int64_t> max_retries_;
  std::string file_;
  int64_t count_ = 1;
  bool all_or_nothing_ = false;
  bool print_ids_ = false;
  bool stopped_ = false;  // before the last job
  std::vector<std::pair<uint64_t, client::Status>> errors_;
};

}  // namespace

std::unique_ptr<Command> MakeEnqueueCommand() { return std::make_unique<EnqueueCommand>(); }

}  // namespace dqueue::cmd
