#include "queue/broker/leases/lease_table.h"

#include <algorithm>
#include <array>
#include <deque>
#include <queue>
#include <utility>

#include "absl/container/btree_map.h"
#include "base/check.h"

namespace dqueue::queue {
namespace {

constexpr uint32_t kNone = UINT32_MAX;
constexpr uint32_t kPageBits = 12;
constexpr uint32_t kPageSize = 1u << kPageBits;

}  // namespace

struct LeaseTable::Impl {
  struct Entry {
    LeaseInfo info;
    uint32_t heap_at = kNone;  // its place in `heap`; kNone while ACKING
  };
  using Page = std::array<uint32_t, kPageSize>;

  uint64_t term = 0;
  uint64_t sequence = 0;
  uint64_t last_number = 0;
  size_t count = 0;
  // Slots of jobs are dense, so a page table of entry numbers finds a lease without hashing.
  std::vector<std::unique_ptr<Page>> pages;
  std::deque<Entry> entries;  // addresses stay
  std::vector<uint32_t> free;
  // Entry numbers, a binary heap by (expires, token): equal times end in the order of grants.
  std::vector<uint32_t> heap;
  absl::btree_map<JobRef, LeaseToken> fences;

  uint32_t* Place(JobRef job, bool make) {
    DQ_CHECK(job.slot != kNone);
    const size_t page = job.slot >> kPageBits;
    if (page >= pages.size()) {
      if (!make) return nullptr;
      pages.resize(page + 1);
    }
    if (pages[page] == nullptr) {
      if (!make) return nullptr;
      pages[page] = std::make_unique<Page>();
      pages[page]->fill(kNone);
    }
    return &(*pages[page])[job.slot & (kPageSize - 1)];
  }

  uint32_t Number(JobRef job) {
    const uint32_t* place = Place(job, false);
    return place == nullptr ? kNone : *place;
  }

  Entry& Get(JobRef job) {
    const uint32_t number = Number(job);
    DQ_CHECK_MSG(number != kNone, "no lease of the job in slot " + std::to_string(job.slot));
    return entries[number];
  }

  bool Before(uint32_t a, uint32_t b) const {
    const LeaseInfo& x = entries[a].info;
    const LeaseInfo& y = entries[b].info;
    return std::tie(x.expires, x.token) < std::tie(y.expires, y.token);
  }

  void Put(size_t at, uint32_t number) {
    heap[at] = number;
    entries[number].heap_at = static_cast<uint32_t>(at);
  }

  void Up(size_t at) {
    const uint32_t number = heap[at];
    while (at > 0 && Before(number, heap[(at - 1) / 2])) {
      Put(at, heap[(at - 1) / 2]);
      at = (at - 1) / 2;
    }
    Put(at, number);
  }

  void Down(size_t at) {
    const uint32_t number = heap[at];
    for (;;) {
      size_t child = 2 * at + 1;
      if (child >= heap.size()) break;
      if (child + 1 < heap.size() && Before(heap[child + 1], heap[child])) ++child;
      if (!Before(heap[child], number)) break;
      Put(at, heap[child]);
      at = child;
    }
    Put(at, number);
  }

  void Push(uint32_t number) {
    DQ_CHECK(entries[number].heap_at == kNone);
    heap.push_back(number);
    Up(heap.size() - 1);
  }

  void Pull(uint32_t number) {
    const size_t at = entries[number].heap_at;
    DQ_CHECK(at < heap.size() && heap[at] == number);
    entries[number].heap_at = kNone;
    const uint32_t last = heap.back();
    heap.pop_back();
    if (last == number) return;
    Put(at, last);
    Up(at);
    Down(entries[last].heap_at);
  }

  const LeaseInfo& Insert(LeaseInfo info) {
    uint32_t* place = Place(info.job, true);
    DQ_CHECK_MSG(*place == kNone, "slot " + std::to_string(info.job.slot) + " is leased already");
    uint32_t number;
    if (free.empty()) {
      number = static_cast<uint32_t>(entries.size());
      entries.emplace_back();
    } else {
      number = free.back();
      free.pop_back();
    }
    *place = number;
    LeaseInfo& inserted = entries[number].info;
    inserted = std::move(info);
    inserted.number = ++last_number;
    Push(number);
    ++count;
    return inserted;
  }

  void Clear() {
    count = 0;
    pages.clear();
    entries.clear();
    free.clear();
    heap.clear();
    fences.clear();
  }
};

LeaseTable::LeaseTable() : impl_(std::make_unique<Impl>()) {}
LeaseTable::~LeaseTable() = default;

void LeaseTable::Begin(raft::Term term) {
  DQ_CHECK_MSG(term.value() > impl_->term,
               "term " + std::to_string(term.value()) + " after " + std::to_string(impl_->term));
  impl_->Clear();
  impl_->term = term.value();
  impl_->sequence = 0;
}

const LeaseInfo& LeaseTable::Grant(JobRef job, const LeaseOwner& owner, Time expires,
                                   uint32_t request) {
  DQ_CHECK(impl_->term > 0);
  const LeaseToken token{impl_->term, ++impl_->sequence};
  return impl_->Insert({.job = job,
                        .token = token,
                        .owner = owner,
                        .expires = expires,
                        .held = true,
                        .request = request,
                        .delivery = 1});
}

void LeaseTable::Adopt(JobRef job, LeaseToken token, const LeaseOwner& owner, Time expires,
                       bool held) {
  DQ_CHECK((token <= LeaseToken{impl_->term, impl_->sequence}));
  impl_->Insert(
      {.job = job, .token = token, .owner = owner, .expires = expires, .held = held, .used = true});
}

void LeaseTable::TakeOver(JobRef job, LeaseToken token, const LeaseOwner& owner, Time expires) {
  LeaseInfo& info = impl_->Get(job).info;
  DQ_CHECK(info.token < token && (token <= LeaseToken{impl_->term, impl_->sequence}));
  DQ_CHECK_MSG(info.request == 0, "only a lease of an earlier leader can be taken over");
  info.token = token;
  info.owner = owner;
  info.delivery = 0;
  info.used = true;
  Extend(job, expires);
}

const LeaseInfo* LeaseTable::Find(JobRef job) const {
  const uint32_t number = impl_->Number(job);
  return number == kNone ? nullptr : &impl_->entries[number].info;
}

LeaseToken LeaseTable::Fence(JobRef job) const {
  const auto it = impl_->fences.find(job);
  return it == impl_->fences.end() ? LeaseToken{} : it->second;
}

void LeaseTable::Extend(JobRef job, Time expires) {
  Impl::Entry& entry = impl_->Get(job);
  entry.info.expires = expires;
  if (entry.heap_at == kNone) return;
  impl_->Up(entry.heap_at);
  impl_->Down(entry.heap_at);
}

void LeaseTable::Redeliver(JobRef job) { ++impl_->Get(job).info.delivery; }

void LeaseTable::SetUsed(JobRef job) { impl_->Get(job).info.used = true; }

void LeaseTable::AddCommand(JobRef job) {
  Impl::Entry& entry = impl_->Get(job);
  if (entry.info.commands++ == 0) impl_->Pull(impl_->Number(job));
}

void LeaseTable::RemoveCommand(JobRef job) {
  Impl::Entry& entry = impl_->Get(job);
  DQ_CHECK(entry.info.commands > 0);
  if (--entry.info.commands == 0) impl_->Push(impl_->Number(job));
}

void LeaseTable::SetHeld(JobRef job, bool held) { impl_->Get(job).info.held = held; }

void LeaseTable::Remove(JobRef job, bool remember) {
  Impl::Entry& entry = impl_->Get(job);
  if (remember) impl_->fences[job] = std::max(impl_->fences[job], entry.info.token);
  uint32_t* place = impl_->Place(job, false);
  if (entry.heap_at != kNone) impl_->Pull(*place);
  entry.info = {};
  impl_->free.push_back(std::exchange(*place, kNone));
  DQ_CHECK(impl_->count > 0);
  --impl_->count;
}

void LeaseTable::ForgetFence(JobRef job) { impl_->fences.erase(job); }

Time LeaseTable::NextExpiry() const {
  return impl_->heap.empty() ? Time::max() : impl_->entries[impl_->heap[0]].info.expires;
}

std::vector<LeaseInfo> LeaseTable::Expired(Time now, size_t max) const {
  std::vector<LeaseInfo> expired;
  const Impl& impl = *impl_;
  // Walks the heap from its top, best place first, without changing it.
  const auto later = [&impl](size_t a, size_t b) {
    return impl.Before(impl.heap[b], impl.heap[a]);
  };
  std::priority_queue<size_t, std::vector<size_t>, decltype(later)> places(later);
  if (!impl.heap.empty()) places.push(0);
  while (!places.empty() && expired.size() < max) {
    const size_t at = places.top();
    places.pop();
    const LeaseInfo& info = impl.entries[impl.heap[at]].info;
    if (info.expires > now) break;
    expired.push_back(info);
    for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < impl.heap.size(); ++child) {
      places.push(child);
    }
  }
  return expired;
}

size_t LeaseTable::size() const { return impl_->count; }

std::shared_ptr<void> LeaseTable::TakeAll() {
  auto empty = std::make_unique<Impl>();
  empty->term = impl_->term;
  empty->sequence = impl_->sequence;
  empty->last_number = impl_->last_number;
  return std::shared_ptr<Impl>(std::exchange(impl_, std::move(empty)));
}

}  // namespace dqueue::queue
