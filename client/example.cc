// Example of the SDK: enqueues jobs, handles them and waits until they are finished.
//
//   dqueue-example [host:port,host:port,…]
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "client/client.h"
#include "client/worker.h"

namespace {

using namespace std::chrono_literals;
namespace dq = dqueue::client;

std::vector<std::string> Split(const std::string& text) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, ',');) parts.push_back(part);
  return parts;
}

}  // namespace

int main(int argc, char** argv) {
  dq::ClientOptions options;
  if (argc > 1) options.servers = Split(argv[1]);
  dq::Client client(options);

  // A new queue, so that concurrent runs do not share jobs.
  const std::string queue = "example-" + dq::NewUuidV7();
  std::vector<std::string> ids;
  for (int i = 1; i <= 5; ++i) {
    dq::JobSpec job;
    job.queue = queue;
    job.type = "greet";
    job.payload = R"({"name":"guest )" + std::to_string(i) + "\"}";
    job.retry.max_retries = 2;
    job.retry.base = 50ms;
    const dq::Result<dq::Enqueued> enqueued = client.Enqueue(std::move(job));
    if (!enqueued.ok()) {
      std::cerr << "enqueue: " << dq::CodeName(enqueued.status.code) << " "
                << enqueued.status.message << "\n";
      return 1;
    }
    ids.push_back(enqueued.value.id);
  }

  dq::WorkerOptions work;
  work.queues = {queue};
  work.concurrency = 2;
  dq::Worker worker(options, work);
  worker.Handle("greet", [](dq::JobContext& job) {
    // A failed job is retried.
    if (job.attempt() == 1 && job.payload().find("guest 3") != std::string::npos) {
      return dq::Fail("first attempt fails");
    }
    return dq::Complete("hello, " + job.payload());
  });
  worker.Start();

  bool all_done = true;
  for (const std::string& id : ids) {
    const dq::Result<dq::Job> job = client.WaitForCompletion(id, 20s);
    if (!job.ok()) {
      std::cerr << id << ": " << dq::CodeName(job.status.code) << " " << job.status.message << "\n";
      all_done = false;
      continue;
    }
    std::cout << id << " " << dq::JobStateName(job.value.state) << " after " << job.value.delivered
              << " attempts: " << job.value.result << "\n";
    all_done = all_done && job.value.state == dq::JobState::kSucceeded;
  }
  worker.Drain();
  const dq::WorkerStats stats = worker.stats();
  std::cout << "completed " << stats.completed << ", failed " << stats.failed << "\n";
  return all_done ? 0 : 1;
}
