// dqueue-cli stats, workers, status, transfer.
#include <algorithm>
#include <cstdio>
#include <future>
#include <map>
#include <set>
#include <utility>

#include "cmd/cli/cli.h"
#include "cmd/cli/job_output.h"
#include "cmd/flags/text_output.h"

namespace dqueue::cmd {
namespace {

// Limits the call of `status` to each node, because some may be down.
constexpr Millis kNodeTimeoutMax{3000};

class StatsCommand : public Command {
 public:
  CommandText text() const override {
    return {"stats", "", "print the number of jobs in each state, by queue", ""};
  }
  void AddFlags(FlagTable* table) override {
    table->Text("queue", &queue_, "QUEUE", "only this queue");
  }
  int Run(Cli& cli) override {
    const client::Result<client::Stats> result = cli.client().GetStats(queue_);
    if (!result.ok()) return cli.Fail(result.status);
    const client::Stats& stats = result.value;
    if (cli.json) {
      JsonWriter json;
      json.BeginObject().Unsigned("applied_index", stats.applied_index);
      WriteQueue(stats.total, &json, "total");
      json.BeginArray("queues");
      for (const client::QueueStats& queue : stats.queues) WriteQueue(queue, &json);
      std::puts(json.EndArray().EndObject().Take().c_str());
      return kExitOk;
    }
    TextTable table({"QUEUE", "SCHEDULED", "READY", "LEASED", "SUCCEEDED", "DEAD", "CANCELLED",
                     "PURGED", "ENQUEUED", "OLDEST READY", "PAUSED"});
    for (const client::QueueStats& queue : stats.queues) table.Row(QueueRow(queue, queue.queue));
    table.Row(QueueRow(stats.total, "(total)"));
    std::fputs(table.ToString().c_str(), stdout);
    return kExitOk;
  }

 private:
  static std::vector<std::string> QueueRow(const client::QueueStats& q, const std::string& name) {
    return {name,
            std::to_string(q.scheduled),
            std::to_string(q.ready),
            std::to_string(q.leased),
            std::to_string(q.succeeded),
            std::to_string(q.dead),
            std::to_string(q.cancelled),
            std::to_string(q.purged),
            std::to_string(q.enqueued),
            FormatDuration(q.oldest_ready_age),
            q.refuses_enqueues ? "yes, refuses jobs"
            : q.paused         ? "yes"
                               : "-"};
  }

  std::string queue_;
};

class WorkersCommand : public Command {
 public:
  CommandText text() const override {
    return {"workers", "", "list workers and the jobs that each holds",
            "Lists workers that called the leader within five minutes or hold a job. Counts start\n"
            "with the worker's first call to this leader.\n"};
  }
  int Run(Cli& cli) override {
    const client::Result<std::vector<client::WorkerInfo>> result = cli.client().ListWorkers();
    if (!result.ok()) return cli.Fail(result.status);
    if (cli.json) {
      JsonWriter json;
      json.BeginObject().BeginArray("workers");
      for (const client::WorkerInfo& worker : result.value) WriteWorker(worker, &json);
      std::puts(json.EndArray().EndObject().Take().c_str());
      return kExitOk;
    }
    TextTable table({"ID", "HOST", "LEASED", "WAITING", "DELIVERED", "COMPLETED", "FAILED",
                     "EXPIRED", "LAST CALL", "QUEUES", "TYPES"});
    for (const client::WorkerInfo& w : result.value) {
      table.Row({w.id, w.host, std::to_string(w.leased), w.waiting ? "yes" : "-",
                 std::to_string(w.delivered), std::to_string(w.completed), std::to_string(w.failed),
                 std::to_string(w.expired), TimeText(w.last_time), Joined(w.queues, "-"),
                 Joined(w.types, "any")});
    }
    std::fputs(table.ToString().c_str(), stdout);
    return kExitOk;
  }

 private:
  static std::string Joined(const std::vector<std::string>& names, const char* if_empty) {
    std::string out;
    for (const std::string& name : names) out += (out.empty() ? "" : ",") + name;
    return out.empty() ? if_empty : out;
  }
};

struct NodeReport {
  std::string address;
  client::Result<client::ClusterView> view;
};

class StatusCommand : public Command {
 public:
  CommandText text() const override {
    return {
        "status", "", "print each node's role, progress and digest",
        "Asks every node of --server and every member that these nodes name. Nodes that have\n"
        "applied the same index must have the same digest; otherwise the exit status is 9. If no\n"
        "node that answers knows a leader, the exit status is 6 if a node refused the key, else\n"
        "5. It is 4 if a node is not part of the cluster, or the nodes belong to different\n"
        "clusters.\n"};
  }

  int Run(Cli& cli) override {
    const std::vector<NodeReport> reports = AskAll(cli);
    const std::string conflict = DigestConflict(reports);
    std::string leader;
    for (const NodeReport& report : reports) {
      if (report.view.ok() && !report.view.value.leader_id.empty()) {
        leader = report.view.value.leader_id;
      }
    }
    if (cli.json) {
      PrintJson(reports, leader, conflict.empty());
    } else {
      PrintTable(reports);
    }
    for (const NodeReport& report : reports) {
      if (!report.view.ok()) cli.Fail(report.view.status, report.address);
    }
    if (!conflict.empty()) {
      cli.Say(conflict);
      return kExitVerifyFailed;
    }
    if (leader.empty()) {
      PrintStrangers(cli, reports);
      const bool denied = std::any_of(reports.begin(), reports.end(), [](const NodeReport& report) {
        return report.view.status.code == client::Code::kPermissionDenied;
      });
      cli.Say(denied ? "no node that accepts the API key knows a leader"
                     : "no node knows a leader");
      return denied ? kExitDenied : kExitUnavailable;
    }
    return PrintStrangers(cli, reports) ? kExitConflict : kExitOk;
  }

 private:
  // Asks the nodes of --server first, then the members that they name. Each node is reported once.
  static std::vector<NodeReport> AskAll(const Cli& cli) {
    std::vector<NodeReport> reports;
    std::set<std::string> asked;
    std::set<std::string> seen;
    std::vector<std::string> next = cli.client_options.servers;
    while (!next.empty()) {
      std::vector<std::pair<std::string, std::future<client::Result<client::ClusterView>>>> calls;
      for (const std::string& address : next) {
        if (!asked.insert(address).second) continue;
        calls.emplace_back(address,
                           std::async(std::launch::async, Ask, cli.client_options, address));
      }
      next.clear();
      for (auto& [address, call] : calls) {
        NodeReport report{address, call.get()};
        if (report.view.ok()) {
          if (!seen.insert(report.view.value.node_id).second) continue;
          for (const client::ClusterMember& member : report.view.value.members) {
            if (!member.address.empty()) next.push_back(member.address);
          }
        }
        reports.push_back(std::move(report));
      }
      // Drops members that have answered already, perhaps at another address.
      std::erase_if(next, [&](const std::string& address) {
        return std::any_of(reports.begin(), reports.end(), [&](const NodeReport& report) {
          return MemberName(reports, address) == report.view.value.node_id && report.view.ok();
        });
      });
    }
    std::stable_sort(reports.begin(), reports.end(), [](const NodeReport& a, const NodeReport& b) {
      return a.view.value.node_id < b.view.value.node_id;
    });
    return reports;
  }

  static client::Result<client::ClusterView> Ask(client::ClientOptions options,
                                                 const std::string& address) {
    options.servers = {address};
    options.timeout = std::min<client::Duration>(options.timeout, kNodeTimeoutMax);
    return client::Client(options).GetCluster(address);
  }

  static std::string MemberName(const std::vector<NodeReport>& reports,
                                const std::string& address) {
    for (const NodeReport& report : reports) {
      for (const client::ClusterMember& member : report.view.value.members) {
        if (member.address == address) return member.id;
      }
    }
    return "";
  }

  static std::string DigestConflict(const std::vector<NodeReport>& reports) {
    std::map<std::pair<std::string, uint64_t>, const client::ClusterView*> by_index;
    for (const NodeReport& report : reports) {
      if (!report.view.ok()) continue;
      const client::ClusterView& view = report.view.value;
      const auto [found, fresh] =
          by_index.try_emplace({view.cluster_id, view.applied_index}, &view);
      if (!fresh && found->second->state_digest != view.state_digest) {
        return "nodes " + found->second->node_id + " and " + view.node_id +
               " have applied the same index, " + std::to_string(view.applied_index) +
               ", but their digests differ";
      }
    }
    return "";
  }

  // Names the nodes that are not part of the cluster. True if there are any.
  static bool PrintStrangers(const Cli& cli, const std::vector<NodeReport>& reports) {
    bool any = false;
    std::map<std::string, std::string> by_cluster;  // cluster id -> names
    for (const NodeReport& report : reports) {
      if (!report.view.ok()) continue;
      const client::ClusterView& view = report.view.value;
      std::string& names = by_cluster[view.cluster_id];
      names += (names.empty() ? "" : ", ") + view.node_id;
      if (view.role != "excluded") continue;
      any = true;
      cli.Say(view.node_id + " at " + report.address +
              " is not part of the cluster: the members refuse it; GET /ready of the node and its "
              "log say why and what to do");
    }
    if (by_cluster.size() < 2) return any;
    std::string clusters;
    for (const auto& [cluster, names] : by_cluster) clusters += " " + cluster + " (" + names + ")";
    cli.Say("the nodes belong to " + std::to_string(by_cluster.size()) + " clusters:" + clusters +
            "; --peers must be the same on all members");
    return true;
  }

  static std::string Hex(uint64_t value) {
    char text[17];
    std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
    return text;
  }

  static constexpr std::string_view kUnreachable = "unreachable";

  // Shown as the role of a node that did not answer the question.
  static std::string_view WhyNot(client::Code code) {
    switch (code) {
      case client::Code::kPermissionDenied:
        return "denied";
      case client::Code::kUnavailable:
      case client::Code::kUnknownOutcome:
      case client::Code::kDeadlineExceeded:
        return kUnreachable;
      default:
        return "error";
    }
  }

  static void PrintTable(const std::vector<NodeReport>& reports) {
    TextTable table({"NODE", "ADDRESS", "ROLE", "TERM", "LEADER", "COMMIT", "APPLIED", "SNAPSHOT",
                     "DIGEST", "VERSION"});
    for (const NodeReport& report : reports) {
      const client::ClusterView& view = report.view.value;
      if (!report.view.ok()) {
        table.Row({"-", report.address, std::string(WhyNot(report.view.status.code)), "-", "-", "-",
                   "-", "-", "-", "-"});
        continue;
      }
      table.Row({view.node_id, report.address, view.role, std::to_string(view.term),
                 view.leader_id.empty() ? "-" : view.leader_id, std::to_string(view.commit_index),
                 std::to_string(view.applied_index), std::to_string(view.snapshot_index),
                 Hex(view.state_digest), view.version});
    }
    std::fputs(table.ToString().c_str(), stdout);
  }

  static void PrintJson(const std::vector<NodeReport>& reports, const std::string& leader,
                        bool digests_agree) {
    JsonWriter json;
    json.BeginObject().Text("leader_id", leader).Bool("digests_agree", digests_agree);
    json.BeginArray("nodes");
    for (const NodeReport& report : reports) {
      const client::ClusterView& view = report.view.value;
      json.BeginObject()
          .Text("address", report.address)
          .Bool("reachable", report.view.ok() || WhyNot(report.view.status.code) != kUnreachable);
      WriteStatus(report.view.status, &json);
      json.Text("cluster_id", view.cluster_id)
          .Text("node_id", view.node_id)
          .Text("role", view.role)
          .Text("leader_id", view.leader_id)
          .Text("leader_address", view.leader_address)
          .Unsigned("term", view.term)
          .Unsigned("commit_index", view.commit_index)
          .Unsigned("applied_index", view.applied_index)
          .Unsigned("last_index", view.last_index)
          .Unsigned("snapshot_index", view.snapshot_index)
          .Text("state_digest", Hex(view.state_digest))
          .Text("version", view.version)
          .BeginArray("members");
      for (const client::ClusterMember& member : view.members) {
        json.BeginObject()
            .Text("id", member.id)
            .Text("address", member.address)
            .Bool("voter", member.voter)
            .Bool("leader", member.leader)
            .Bool("reachable", member.reachable)
            .Unsigned("match_index", member.match_index)
            .EndObject();
      }
      json.EndArray().EndObject();
    }
    std::puts(json.EndArray().EndObject().Take().c_str());
  }
};

class TransferCommand : public Command {
 public:
  CommandText text() const override {
    return {
        "transfer", "[NODE]", "transfer leadership to a node; none: to the most up-to-date voter",
        "Calls continue during the transfer. The exit status is 4 if the node cannot lead or did\n"
        "not take over.\n"};
  }
  size_t args_max() const override { return 1; }

  int Run(Cli& cli) override {
    const std::string to = cli.args.empty() ? "" : cli.args[0];
    const client::Result<std::string> leader = cli.client().TransferLeadership(to);
    if (!leader.ok()) return cli.Fail(leader.status, to);
    if (cli.json) {
      JsonWriter json;
      std::puts(json.BeginObject().Text("leader_id", leader.value).EndObject().Take().c_str());
    } else {
      std::printf("%s leads\n", EscapedForText(leader.value).c_str());
    }
    return kExitOk;
  }
};

}  // namespace

void AddClusterCommands(CommandList* list) {
  list->push_back(std::make_unique<StatsCommand>());
  list->push_back(std::make_unique<StatusCommand>());
  list->push_back(std::make_unique<TransferCommand>());
  list->push_back(std::make_unique<WorkersCommand>());
}

}  // namespace dqueue::cmd
