#include "client/verdict_reporter.h"

#include <algorithm>
#include <utility>

namespace dqueue::client {
namespace {

constexpr size_t kBatchMax = 1000;
constexpr Duration kPauseMin{50};
constexpr Duration kPauseMax{1000};

// The lease is lost: a repetition would get the same answer.
bool IsLost(const Status& status) {
  return status.code == Code::kNotFound || status.reason == "LEASE_STALE" ||
         status.reason == "LEASE_EXPIRED" || status.reason == "INVALID_STATE";
}

bool IsOpen(const Status& status) {
  return status.code == Code::kUnavailable || status.code == Code::kUnknownOutcome ||
         status.code == Code::kDeadlineExceeded || status.code == Code::kResourceExhausted;
}

}  // namespace

VerdictReporter::VerdictReporter(Client::Impl* client, CallControl control, Settled settled)
    : client_(client),
      control_([&] {
        control.cancel = &cancel_;
        return std::move(control);
      }()),
      settled_(std::move(settled)),
      thread_([this] { Run(); }) {}

VerdictReporter::~VerdictReporter() { Finish(Clock::now()); }

void VerdictReporter::Add(Report report) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(report));
    ++pending_;
  }
  wake_.notify_all();
}

size_t VerdictReporter::pending() const {
  const std::lock_guard lock(mutex_);
  return pending_;
}

void VerdictReporter::Finish(Clock::time_point deadline) {
  {
    std::unique_lock lock(mutex_);
    finish_ = true;
    deadline_ = deadline;
    wake_.notify_all();
    wake_.wait_until(lock, deadline, [this] { return ended_; });
  }
  cancel_.Cancel();
  if (thread_.joinable()) thread_.join();
}

void VerdictReporter::Run() {
  Duration pause = kPauseMin;
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return finish_ || !waiting_.empty(); });
    if (waiting_.empty()) {
      ended_ = true;
      wake_.notify_all();
      return;
    }
    std::vector<Report> reports;
    while (!waiting_.empty() && reports.size() < kBatchMax) {
      reports.push_back(std::move(waiting_.front()));
      waiting_.pop_front();
    }
    lock.unlock();
    const size_t taken = reports.size();
    std::vector<Report> open = Send(std::move(reports));
    lock.lock();
    pending_ -= taken - open.size();
    if (open.empty()) {
      pause = kPauseMin;
      continue;
    }
    const Clock::time_point end = std::min(Clock::now() + pause, deadline_);
    pause = std::min(pause * 2, kPauseMax);
    wake_.wait_until(lock, end, [this] { return finish_ && Clock::now() >= deadline_; });
    const Clock::time_point now = Clock::now();
    for (Report& report : open) {
      if (now < std::min(report.give_up, deadline_)) {
        waiting_.push_back(std::move(report));
        continue;
      }
      --pending_;
      lock.unlock();
      settled_(report, false);
      lock.lock();
    }
  }
}

std::vector<VerdictReporter::Report> VerdictReporter::Send(std::vector<Report> reports) {
  std::vector<Report*> kinds[3];
  for (Report& report : reports) {
    const Verdict::Kind kind = report.verdict.kind;
    kinds[kind == Verdict::Kind::kComplete  ? 0
          : kind == Verdict::Kind::kRelease ? 2
                                            : 1]
        .push_back(&report);
  }
  std::vector<Report> open;
  const auto settle = [&](const std::vector<Report*>& sent, const std::vector<Status>& statuses) {
    for (size_t i = 0; i < sent.size(); ++i) {
      const Status& status = statuses[i];
      Report& report = *sent[i];
      if (status.ok() || IsLost(status)) {
        settled_(report, status.ok());
      } else if (IsOpen(status)) {
        open.push_back(std::move(report));
      } else if (report.verdict.kind == Verdict::Kind::kComplete) {
        // The server refuses the verdict itself, for example a result that is too large. Fails the
        // job, which would otherwise run again and again.
        report.verdict = {Verdict::Kind::kFail, "the result was refused: " + status.message, {}};
        open.push_back(std::move(report));
      } else {
        settled_(report, false);
      }
    }
  };
  if (!kinds[0].empty()) {
    std::vector<Completion> items;
    items.reserve(kinds[0].size());
    for (const Report* report : kinds[0]) {
      items.push_back({report->id, report->token, report->verdict.text});
    }
    settle(kinds[0], client_->Complete(items, control_).value);
  }
  if (!kinds[1].empty()) {
    std::vector<Failure> items;
    items.reserve(kinds[1].size());
    for (const Report* report : kinds[1]) {
      items.push_back({report->id, report->token, report->verdict.text,
                       report->verdict.kind == Verdict::Kind::kReject,
                       report->verdict.retry_delay});
    }
    settle(kinds[1], client_->Fail(items, control_).value);
  }
  if (!kinds[2].empty()) {
    std::vector<LeaseRef> items;
    items.reserve(kinds[2].size());
    for (const Report* report : kinds[2]) items.push_back({report->id, report->token});
    settle(kinds[2], client_->Release(items, control_).value);
  }
  return open;
}

}  // namespace dqueue::client
