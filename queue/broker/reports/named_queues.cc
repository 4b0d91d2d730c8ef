#include "queue/broker/reports/named_queues.h"

#include <iterator>
#include <utility>

#include "base/check.h"

namespace dqueue::queue {
namespace {

using v1::QueueStats;

struct Figure {
  uint64_t (QueueStats::*get)() const;
  void (QueueStats::*set)(uint64_t);
};

constexpr Figure kCounters[] = {
    {&QueueStats::enqueued, &QueueStats::set_enqueued},
    {&QueueStats::purged, &QueueStats::set_purged},
    {&QueueStats::completions, &QueueStats::set_completions},
    {&QueueStats::failures, &QueueStats::set_failures},
    {&QueueStats::expirations, &QueueStats::set_expirations},
    {&QueueStats::deaths, &QueueStats::set_deaths},
    {&QueueStats::cancellations, &QueueStats::set_cancellations},
    {&QueueStats::retries, &QueueStats::set_retries},
};
constexpr Figure kGauges[] = {
    {&QueueStats::scheduled, &QueueStats::set_scheduled},
    {&QueueStats::ready, &QueueStats::set_ready},
    {&QueueStats::leased, &QueueStats::set_leased},
    {&QueueStats::succeeded, &QueueStats::set_succeeded},
    {&QueueStats::dead, &QueueStats::set_dead},
    {&QueueStats::cancelled, &QueueStats::set_cancelled},
};

}  // namespace

void NamedQueues::Choose(const StateMachine& state) {
  for (auto it = named_.begin(); it != named_.end();) {
    it = state.HasQueue(it->first) ? std::next(it) : named_.erase(it);
  }
  v1::GetStatsRequest request;
  request.set_page_size(kNamedQueuesMax);
  // Two pages at most: one of them has a queue that is not named.
  while (named_.size() < kNamedQueuesMax) {
    v1::GetStatsResponse page;
    DQ_CHECK(state.Stats(request, &page).ok());
    for (v1::QueueStats& queue : *page.mutable_queues()) {
      if (named_.size() == kNamedQueuesMax) return;
      std::string name = queue.queue();
      // If none was left out, a queue that is new here is new, and has counted from 0.
      if (all_named_) queue.Clear();
      named_.try_emplace(std::move(name), std::move(queue));
    }
    if (page.next_page_token().empty()) return;
    request.set_page_token(page.next_page_token());
  }
}

QueueFigures NamedQueues::Page(const StateMachine& state, int64_t now_ms) {
  QueueFigures out;
  Choose(state);
  v1::GetStatsRequest smallest;
  smallest.set_page_size(1);
  v1::GetStatsResponse all;
  DQ_CHECK(state.Stats(smallest, &all, nullptr, now_ms).ok());
  out.total = all.total();
  out.queue_count = static_cast<uint64_t>(all.total_size());
  // What the named ones counted since the last page, and have now.
  v1::QueueStats counted;
  v1::QueueStats present;
  for (auto& [name, last] : named_) {
    v1::GetStatsResponse one;
    DQ_CHECK(state.Stats(name, &one, nullptr, now_ms).ok());
    const v1::QueueStats& now = one.queues(0);
    for (const Figure& f : kCounters) {
      // A queue that was forgotten and made again counts from 0.
      const uint64_t before = (last.*f.get)();
      const uint64_t value = (now.*f.get)();
      (counted.*f.set)((counted.*f.get)() + (value < before ? value : value - before));
    }
    for (const Figure& f : kGauges) (present.*f.set)((present.*f.get)() + (now.*f.get)());
    last = now;
    out.queues.push_back(now);
  }
  for (const Figure& f : kCounters) {
    const uint64_t since = (out.total.*f.get)() - (total_.*f.get)();
    const uint64_t named = (counted.*f.get)();
    (other_.*f.set)((other_.*f.get)() + (since > named ? since - named : 0));
  }
  out.other = other_;
  for (const Figure& f : kGauges) {
    (out.other.*f.set)((out.total.*f.get)() - (present.*f.get)());
  }
  total_ = out.total;
  all_named_ = out.queue_count == out.queues.size();
  return out;
}

}  // namespace dqueue::queue
