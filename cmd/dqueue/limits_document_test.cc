// The tables of docs/limits.md have the values of the code.
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"
#include "node/cluster_clock.h"
#include "node/inbox/fair_inbox.h"
#include "node/inbox/inbox.h"
#include "queue/api/key.h"
#include "queue/api/limits.h"
#include "queue/broker/options.h"
#include "queue/broker/reports/job_times.h"
#include "queue/broker/reports/named_queues.h"
#include "queue/broker/reports/worker_registry.h"
#include "transport/calls/work_pool.h"
#include "transport/http/server/http_server.h"

namespace dqueue {
namespace {

// 1234567: "1,234,567".
std::string Count(uint64_t number) {
  std::string text = std::to_string(number);
  for (size_t end = text.size(); end > 3; end -= 3) text.insert(end - 3, ",");
  return text;
}
std::string Milliseconds(Duration time) {
  return Count(static_cast<uint64_t>(
             std::chrono::duration_cast<std::chrono::milliseconds>(time).count())) +
         " ms";
}
std::string Seconds(int64_t ms) { return Count(static_cast<uint64_t>(ms / 1000)) + " s"; }
std::string MebiBytes(size_t bytes) { return Count(bytes >> 20) + " MiB"; }

// The first two cells of each row of the tables under these headings, but for the tables' heads.
std::vector<std::pair<std::string, std::string>> RowsOf(const std::set<std::string>& headings) {
  std::ifstream file(DQUEUE_SOURCE_DIR "/docs/limits.md");
  std::vector<std::pair<std::string, std::string>> rows;
  std::string heading;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("## ")) heading = line.substr(3);
    if (!headings.contains(heading) || !line.starts_with("| ") || line.starts_with("| what |")) {
      continue;
    }
    const std::vector<std::string> cells = absl::StrSplit(line, " | ");
    std::string value = cells.at(1);
    if (value.ends_with(" |")) value.resize(value.size() - 2);
    rows.emplace_back(cells.at(0).substr(2), value);
  }
  return rows;
}

TEST(LimitsDocument, HasTheValuesOfTheCode) {
  const node::InboxLimits inbox;
  const queue::BrokerOptions broker;
  const transport::HttpLimits http;
  const auto part = [](queue::CallKind kind) {
    return absl::StrCat("1/", node::FairInbox::kLimitDivisors[static_cast<size_t>(kind)]);
  };
  ASSERT_EQ(part(queue::CallKind::kLeases), "1/1");
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"waiting calls of a node", Count(inbox.calls)},
      {"waiting leases and completions", "all of these"},
      {"waiting mutations", part(queue::CallKind::kMutations)},
      {"waiting reads", part(queue::CallKind::kReads)},
      {"waiting listings", part(queue::CallKind::kListings)},
      {"calls that wait in the order of arrival", Count(node::FairInbox::kFairFrom)},
      {"time after which a caller's further calls are refused",
       Milliseconds(node::FairInbox::kDelayMax)},
      {"calls that the loop takes in a turn, by their estimated time",
       Count(node::Inbox::kTurnCost) + " µs"},
      {"long polls and reads that wait in the leader", Count(broker.max_waiting_calls)},
      {"commands that wait for a log entry", Count(broker.max_pending_commands)},
      {"commands in a log entry", Count(broker.max_batch_commands)},
      {"connections to the HTTP server", Count(http.connections)},
      {"of these: streams of events", Count(http.streams)},
      {"gRPC requests above 16 KiB that wait to be decoded, and as many above 64 KiB",
       Count(transport::WorkPool::Limits().pieces_max)},
      {"bytes of each of these two", MebiBytes(transport::WorkPool::Limits().bytes_max)},
      {"bodies of HTTP requests, together", MebiBytes(http.all_body_bytes)},
      {"answers that wait for slow HTTP clients, together", MebiBytes(http.all_answer_bytes)},
      {"queues that exist", Count(queue::kQueuesMax)},
      {"time after which an idle queue is forgotten", Seconds(queue::kQueueIdleMs)},
      {"requests remembered after their jobs are gone", Count(queue::kRequestsMax)},
      {"time for which a request is remembered", Seconds(queue::kRequestIdMs)},
      {"valid API keys", Count(queue::kKeysMax)},
      {"revoked API keys that are remembered", Count(queue::kRevokedKeysMax)},
      {"workers that a leader knows", Count(queue::kWorkersMax)},
      {"time after which a silent worker without jobs is forgotten",
       Seconds(queue::kWorkerSilence.count() / 1000)},
      {"queues with time histograms", Count(queue::kTimedQueuesMax)},
      {"queues that `/metrics` names", Count(queue::kNamedQueuesMax)},
      {"names on a page of statistics, workers or keys", Count(queue::kStatsPageSizeMax)},
      {"how far the cluster's time may be ahead of a majority's clocks before it slows down",
       Milliseconds(node::kClockStep)},
      {"its speed while it is further ahead", "1/2"},
      {"age from which on a member's reported clock does not count",
       Milliseconds(node::kClockReportAge)},
  };
  EXPECT_EQ(RowsOf({"Admission", "Names", "Clock"}), expected);
}

}  // namespace
}  // namespace dqueue
