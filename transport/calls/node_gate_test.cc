#include "transport/calls/node_gate.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <thread>

#include "transport/testing/fake_node.h"

namespace dqueue::transport {
namespace {

using namespace std::chrono_literals;

TEST(NodeGate, PassesTheNodeUntilItIsClosed) {
  FakeNode node;
  NodeGate gate(nullptr);
  EXPECT_FALSE(gate.With([](node::Node&) { FAIL() << "there is no node"; }));
  gate.Open(&node);
  node::Node* passed = nullptr;
  EXPECT_TRUE(gate.With([&](node::Node& got) { passed = &got; }));
  EXPECT_EQ(passed, &node);
  gate.Close();
  EXPECT_FALSE(gate.With([](node::Node&) { FAIL() << "closed"; }));
}

// A use within a use must not wait for a Close() that waits for the outer one.
TEST(NodeGate, AUseWithinAUseDoesNotWaitForClose) {
  FakeNode node;
  NodeGate gate(&node);
  std::atomic<bool> outer_used{false};
  std::atomic<bool> inner_ended{false};
  std::promise<void> in_use;
  std::thread user([&] {
    gate.With([&](node::Node&) {
      outer_used.store(true);
      in_use.set_value();
      // Until the gate is closed the inner use gets the node, then it is refused.
      while (gate.With([](node::Node&) {})) std::this_thread::yield();
      inner_ended.store(true);
    });
  });
  in_use.get_future().wait();
  gate.Close();
  EXPECT_TRUE(outer_used.load());
  EXPECT_TRUE(inner_ended.load()) << "Close() waits for the outer use";
  user.join();
}

}  // namespace
}  // namespace dqueue::transport
