// The budget of the call into the broker that is running. The parts charge their work to it, and
// leave the rest of long work for the next turn when it is exhausted. Without a budget, as in most
// tests, all work is done at once. Used on the loop's thread.
#pragma once

#include <cstdint>

#include "base/work_budget.h"

namespace dqueue::queue {

// Costs, for WorkBudget.
// Of answering a call: the transport encodes the answer and gives it to a socket.
inline constexpr int64_t kAnswerNs = 8000;
// Of a command's result, of a job that is looked up, and of a job that enters an answer.
inline constexpr int64_t kResultNs = 250;
inline constexpr int64_t kFindNs = 600;
inline constexpr int64_t kShowNs = 1200;
inline constexpr int64_t CostOfCopying(size_t bytes) { return static_cast<int64_t>(bytes / 4); }

class Pace {
 public:
  void Spend(int64_t ns) { budget_->Spend(ns); }
  bool Exhausted() const { return budget_->Exhausted(); }
  bool Allows(int64_t ns) const { return budget_->Allows(ns); }

  // Sets the budget for the lifetime of the scope. Null: unlimited.
  class Scope {
   public:
    Scope(Pace* pace, WorkBudget* budget) : pace_(pace), before_(pace->budget_) {
      if (budget != nullptr) pace_->budget_ = budget;
    }
    ~Scope() { pace_->budget_ = before_; }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Pace* const pace_;
    WorkBudget* const before_;
  };

 private:
  WorkBudget unlimited_ = WorkBudget::Unlimited();
  WorkBudget* budget_ = &unlimited_;
};

}  // namespace dqueue::queue
