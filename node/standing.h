// Whether this node is part of its cluster, as far as the other members say. A node whose messages
// the members refuse still runs and may even follow a leader, but it has no vote and no copy of the
// data counts. So it must say so: on /ready, in the status and in the log.
//
// Pure: time is an argument. Used on the loop's thread.
#pragma once

#include <chrono>
#include <map>
#include <string>

#include "base/time.h"
#include "raft/raft.h"

namespace dqueue::node {

class Standing {
 public:
  // A refusal counts for this long, at least. Members repeat it every second while they receive
  // messages.
  static constexpr Duration kRefusalHolds = std::chrono::seconds(10);
  // Pace of repeated log lines about one cause.
  static constexpr Duration kRepeatLine = std::chrono::minutes(10);

  // `election_max`: a refused node sends at least one message in twice this time.
  Standing(raft::ClusterId own, Duration election_max);

  // A member, named `name` in this node's configuration (empty: not in it), refused a message.
  void OnRefused(Time now, const raft::RefusedBy& refused, const std::string& name);
  // A member refused the connection of this node, and said why.
  void OnConnectionRefused(Time now, raft::NodeId from, const std::string& name,
                           const std::string& why);
  // Why this node is not part of the cluster, in a sentence with what to do; empty: it is part of
  // it, or nobody says otherwise. A refusal counts if it is from the leader that this node knows,
  // or if it knows none.
  std::string Problem(Time now, const raft::Status& status) const;
  // True if a line about this cause should be logged now: the first time, then at kRepeatLine.
  bool MayLog(Time now, const std::string& cause);

 private:
  struct Heard {
    Time at;
    raft::RefusedBy refused;
    std::string name;
    std::string connection;  // not empty: the connection was refused, for this reason
  };
  std::string Text(const Heard& heard) const;

  raft::ClusterId own_;
  Duration holds_;
  std::map<raft::NodeId, Heard> heard_;  // by sender; bounded
  std::map<std::string, Time> logged_;   // by cause; bounded
};

// Why a disk cannot be used any more (raft::WentBack), with what to do.
std::string WentBackText(const raft::WentBack& lost, const std::string& witness,
                         const std::string& data_dir);

// For the log of a member that refuses another node. `name`: of that node; empty: unknown.
std::string RefusalText(const raft::Refusal& refusal, raft::NodeId to, const std::string& name);

// 32 hexadecimal digits.
std::string ClusterText(raft::ClusterId cluster);

}  // namespace dqueue::node
