#include "node/inbox/fair_inbox.h"

#include <algorithm>
#include <chrono>
#include <type_traits>
#include <variant>

#include "base/check.h"
#include "queue/api/limits.h"
#include "queue/broker/commands/prepared_enqueue.h"

namespace dqueue::node {
namespace {

using queue::CallKind;

constexpr uint64_t kWeights[] = {8, 4, 2, 1};
constexpr uint64_t kWeightsMax = 8;
static_assert(std::size(kWeights) == queue::kCallKinds);

constexpr Duration kRetrySoon = std::chrono::milliseconds(100);

// Of this part of the bytes nothing is refused.
constexpr size_t kFreePart = 16;

size_t LimitOf(CallKind kind, size_t limit_of_all) {
  return std::max<size_t>(1, limit_of_all / FairInbox::kLimitDivisors[static_cast<size_t>(kind)]);
}

const std::string& CallerOf(const queue::AnyCall& call) {
  return std::visit([](const auto& c) -> const std::string& { return c.caller; }, call);
}

queue::Error Overloaded(CallKind kind, const char* cause, const std::string& message, size_t limit,
                        Duration retry_after) {
  queue::Error error;
  error.code = absl::StatusCode::kResourceExhausted;
  error.reason = "OVERLOADED";
  error.message = message;
  error.metadata = {{"cause", cause},
                    {"kind", std::string(queue::CallKindName(kind))},
                    {"limit", std::to_string(limit)}};
  error.retry_after = retry_after;
  return error;
}

int64_t CostOfList(const v1::ListJobsRequest& request) {
  constexpr int64_t kFullFactor = 4;  // payloads, results, attempts
  const int64_t jobs =
      request.page_size() > 0 ? request.page_size() : int64_t{queue::kPageSizeDefault};
  return 5 + jobs * (request.full() ? kFullFactor : 1);
}

}  // namespace

int64_t CostOf(const queue::AnyCall& call) {
  constexpr int64_t kScan = 50;  // a part of a walk over all jobs, queues, workers or keys
  return std::visit(
      [](const auto& c) -> int64_t {
        using C = std::decay_t<decltype(c)>;
        if constexpr (std::is_same_v<C, queue::ListCall>) {
          return CostOfList(c.request);
        } else if constexpr (std::is_same_v<C, queue::EnqueueCall>) {
          const size_t prepared = c.prepared ? c.prepared->jobs.size() : 0;
          return 1 + c.request.jobs_size() + static_cast<int64_t>(prepared);
        } else if constexpr (queue::kKindOf<C> == CallKind::kListings ||
                             std::is_same_v<C, queue::PurgeCall> ||
                             std::is_same_v<C, queue::RedriveCall>) {
          return kScan;
        } else if constexpr (requires { c.request.jobs_size(); }) {
          return 1 + c.request.jobs_size();
        } else if constexpr (requires { c.request.items_size(); }) {
          return 1 + c.request.items_size();
        } else if constexpr (requires { c.request.ids_size(); }) {
          return 1 + c.request.ids_size();
        } else {
          return 2;
        }
      },
      call);
}

// Beside the bytes on the wire: the objects of jobs, items, ids, headers and labels.
size_t MemoryOf(const queue::AnyCall& call) {
  constexpr size_t kJob = 512;
  constexpr size_t kItem = 256;
  constexpr size_t kId = 64;
  constexpr size_t kPair = 128;
  return std::visit(
      [](const auto& c) -> size_t {
        if constexpr (!requires { c.request.ByteSizeLong(); }) {
          return sizeof(c.request);  // of keys
        } else {
          size_t bytes = sizeof(c) + c.request.ByteSizeLong();
          if constexpr (requires { c.prepared; }) {
            if (c.prepared) bytes += c.prepared->bytes.size() + kJob * c.prepared->jobs.size();
          }
          if constexpr (requires { c.request.jobs(); }) {
            for (const v1::JobSpec& job : c.request.jobs()) {
              bytes += kJob + kPair * (job.headers_size() + job.labels_size());
            }
          }
          if constexpr (requires { c.request.items_size(); })
            bytes += kItem * c.request.items_size();
          if constexpr (requires { c.request.ids_size(); }) bytes += kId * c.request.ids_size();
          return bytes;
        }
      },
      call);
}

std::optional<queue::Error> FairInbox::Refuse(const queue::AnyCall& call, size_t bytes,
                                              const InboxLimits& limits) const {
  const CallKind kind = queue::KindOf(call);
  const KindQueue& queue = kinds_[static_cast<size_t>(kind)];
  const std::string name(queue::CallKindName(kind));
  const size_t limit = LimitOf(kind, limits.calls);
  if (size() >= limits.calls || queue.size >= limit) {
    return Overloaded(kind, "full", "too many " + name + " wait for this node", limit, kRetrySoon);
  }
  const size_t bytes_limit = LimitOf(kind, limits.bytes);
  if (queue.size > 0 && (bytes_ + bytes > limits.bytes || queue.bytes + bytes > bytes_limit)) {
    return Overloaded(kind, "bytes",
                      name + " that wait for this node have too many bytes; the limit is " +
                          std::to_string(bytes_limit),
                      bytes_limit, kRetrySoon);
  }
  const auto found = queue.tag_of.find(CallerOf(call));
  if (found == queue.tag_of.end()) return std::nullopt;
  const CallerQueue& own = queue.waiting.at(found->second);
  const size_t callers = queue.tag_of.size() + 1;
  const size_t share = std::max<size_t>(1, limit / callers);
  if (queue.size >= limit / 2 && own.calls.size() >= share) {
    return Overloaded(kind, "caller_share",
                      "too many " + name + " of this caller wait for this node; its share is " +
                          std::to_string(share),
                      share, kRetrySoon);
  }
  const size_t bytes_share = bytes_limit / callers;
  if (queue.bytes >= bytes_limit / 2 && own.bytes >= bytes_share) {
    return Overloaded(kind, "caller_share",
                      name +
                          " of this caller that wait for this node have too many bytes; its "
                          "share is " +
                          std::to_string(bytes_share),
                      bytes_share, kRetrySoon);
  }
  const std::optional<Time> since = own.calls.front().since;
  if (kind != CallKind::kLeases && since && *now_ - *since >= kDelayMax) {
    return Overloaded(kind, "delay",
                      name + " of this caller wait for " + std::to_string(kDelayMax.count()) +
                          " ms already, which is the limit",
                      kDelayMax.count(), kDelayMax);
  }
  return std::nullopt;
}

std::optional<queue::Error> FairInbox::Add(queue::AnyCall& call, size_t bytes,
                                           const InboxLimits& limits) {
  if (size() >= std::min(kFairFrom, limits.calls) || bytes_ + bytes > limits.bytes / kFreePart) {
    Sort();
    if (auto error = Refuse(call, bytes, limits)) return error;
  }
  arrived_.push_back({std::move(call), bytes, now_});
  bytes_ += bytes;
  return std::nullopt;
}

void FairInbox::Sort() {
  for (Waiting& waiting : arrived_) {
    KindQueue& kind = KindOf(waiting.call);
    const std::string& caller = CallerOf(waiting.call);
    if (kind.size == 0) kind.tag = std::max(kind.tag, virtual_now_);
    auto found = kind.tag_of.find(caller);
    if (found == kind.tag_of.end()) {
      uint64_t start = kind.virtual_now;
      if (const auto ended = kind.ended.find(caller); ended != kind.ended.end()) {
        start = std::max(start, ended->second);
        kind.ended.erase(ended);
      }
      const Tag tag{start, next_number_++};
      found = kind.tag_of.emplace(caller, tag).first;
      kind.waiting[tag].caller = caller;
    }
    CallerQueue& queue = kind.waiting.at(found->second);
    kind.bytes += waiting.bytes;
    queue.bytes += waiting.bytes;
    queue.calls.push_back(std::move(waiting));
    ++kind.size;
    ++sorted_;
  }
  arrived_.clear();
}

FairInbox::Waiting FairInbox::Next(int64_t* cost) {
  KindQueue* kind = nullptr;
  uint64_t weight = 0;
  for (size_t i = 0; i < kinds_.size(); ++i) {
    if (kinds_[i].size == 0 || (kind != nullptr && kinds_[i].tag >= kind->tag)) continue;
    kind = &kinds_[i];
    weight = kWeights[i];
  }
  DQ_CHECK(kind != nullptr);
  auto node = kind->waiting.extract(kind->waiting.begin());
  CallerQueue& queue = node.mapped();
  Waiting next = std::move(queue.calls.front());
  queue.calls.pop_front();
  --kind->size;
  kind->bytes -= next.bytes;
  queue.bytes -= next.bytes;
  --sorted_;
  *cost = CostOf(next.call);
  virtual_now_ = kind->tag;
  kind->tag += static_cast<uint64_t>(*cost) * kWeightsMax / weight;
  kind->virtual_now = node.key().first;
  const uint64_t end = kind->virtual_now + static_cast<uint64_t>(*cost);
  if (queue.calls.empty()) {
    kind->tag_of.erase(queue.caller);
    kind->ended.emplace(queue.caller, end);
  } else {
    node.key().first = end;
    kind->tag_of[queue.caller] = node.key();
    kind->waiting.insert(std::move(node));
  }
  return next;
}

void FairInbox::HandOut(Time now, Waiting waiting, Taken* taken) {
  bytes_ -= waiting.bytes;
  const bool late = std::visit(
      [now](const auto& call) { return call.deadline <= now || queue::IsCancelled(call); },
      waiting.call);
  (late ? taken->late : taken->calls).push_back(std::move(waiting.call));
}

void FairInbox::ForgetEnded() {
  constexpr size_t kEndedMin = 64;
  for (KindQueue& kind : kinds_) {
    if (size() == 0) kind.ended.clear();
    if (kind.ended.size() <= kind.ended_max) continue;
    std::erase_if(kind.ended, [&kind](const auto& e) { return e.second <= kind.virtual_now; });
    kind.ended_max = 2 * kind.ended.size() + kEndedMin;
  }
}

void FairInbox::SetTime(Time now) {
  DQ_CHECK(!now_ || now >= *now_);
  now_ = now;
}

FairInbox::Taken FairInbox::Take(Time now, int64_t cost) {
  SetTime(now);
  Taken taken;
  if (sorted_ == 0 && arrived_.size() <= kFairFrom) {
    taken.calls.reserve(arrived_.size());
    for (Waiting& waiting : arrived_) HandOut(now, std::move(waiting), &taken);
    arrived_.clear();
  } else {
    Sort();
    const bool all = sorted_ <= kFairFrom;
    while (sorted_ > 0 && (all || cost > 0)) {
      const size_t calls = taken.calls.size();
      int64_t of_this = 0;
      HandOut(now, Next(&of_this), &taken);
      // A call that is dropped costs the loop next to nothing.
      cost -= taken.calls.size() > calls ? of_this : 1;
    }
  }
  ForgetEnded();
  return taken;
}

}  // namespace dqueue::node
