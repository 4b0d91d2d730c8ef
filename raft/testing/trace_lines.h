// How scripted traces show messages, outputs and nodes: one line for each, in the words of the Raft
// paper. An entry is index/term with its content, as 4/2 "a"; a write is named by its token, as #3.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "raft/raft.h"
#include "raft/testing/test_cluster.h"

namespace dqueue::raft::test {

std::string NodeName(NodeId id);

// "PreVote", "PreVoteResponse", ...: the names of messages, in the order of MessageBody.
const std::vector<std::string>& TraceKinds();
const std::string& TraceKind(const Message& message);

// "n1 -> n2 Append term=2 prev=1/1 entries=[2/2 noop] commit=1".
std::string MessageLine(const Message& message);

// "n1 leader term=2 serving".
std::string StatusLine(NodeId node, const Status& status);

// Everything in an output but send_now: the change of role, what is written and which messages wait
// for it, what is applied, and the outcomes. `label` names the proposal or read with an id.
std::vector<std::string> OutputLines(NodeId node, const Output& output,
                                     const std::function<std::string(uint64_t id)>& label);

// "n1 leader term=2 vote=n1 commit=2 applied=2 log=1 2". The log is the term of each entry, as in
// figure 7 of the paper, with the compacted part as "(..5)". The vote is the durable one.
std::string StateLine(const TestNode& node);

}  // namespace dqueue::raft::test
