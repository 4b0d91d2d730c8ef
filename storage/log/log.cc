#include "storage/log/log.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <mutex>
#include <utility>

#include "base/check.h"
#include "storage/files/crc32c.h"
#include "storage/log/entry_index.h"
#include "storage/log/log_recovery.h"
#include "storage/log/log_scan.h"
#include "storage/log/log_writer.h"
#include "storage/log/record.h"
#include "storage/log/segment_chain.h"
#include "storage/log/segment_header.h"
#include "storage/log/segment_pool.h"

namespace dqueue::storage {
namespace {

// Adjacent entries are read together, in pieces of at most this size; a single larger entry is one
// piece.
constexpr uint64_t kReadPieceBytes = 1 << 20;
constexpr int kMaxPreparedSegments = 64;

class LogImpl : public Log {
 public:
  LogImpl(FileSystem& fs, std::string directory, const LogOptions& options)
      : fs_(fs),
        directory_(std::move(directory)),
        pool_(fs, directory_, options.segment_bytes,
              static_cast<size_t>(options.prepared_segments)),
        writer_(fs, directory_, options, &pool_),
        segment_bytes_(options.segment_bytes) {}

  absl::Status Recover(const LogOptions& options, RecoveredLog* recovered) {
    absl::StatusOr<LogScan> scan = ScanLog(fs_, directory_, options.max_entry_bytes, nullptr);
    if (!scan.ok()) return scan.status();
    if (absl::Status s = RecoverLog(fs_, directory_, *scan, writer_, recovered); !s.ok()) {
      return s;
    }
    identity_ = scan->identity;
    entries_ = std::move(scan->entries);
    segments_ = {scan->segments.begin(), scan->segments.end()};
    DQ_CHECK(!segments_.empty() && segments_.back() == writer_.current());
    room_ = writer_.room();
    UpdateStats();
    return RemoveCompacted();
  }

  void OnDurable(std::function<void(raft::Token)> callback) override {
    on_durable_ = std::move(callback);
  }
  void OnWork(std::function<void()> callback) override { on_work_ = std::move(callback); }

  void Submit(LogWrite write) override {
    bool first = false;
    {
      std::lock_guard lock(mu_);
      DQ_CHECK_MSG(!closed_, "Submit() after Close()");
      first = queue_.empty();
      queue_.push_back(std::move(write));
    }
    if (first && on_work_) on_work_();
  }

  absl::StatusOr<bool> Poll() override {
    {
      std::lock_guard lock(mu_);
      if (failed_) return Unusable();
      if (queue_.empty()) return false;
      DQ_CHECK(batch_.empty());
      batch_.swap(queue_);
    }
    raft::Token token;
    const absl::Status status = WriteBatch(&token);
    batch_.clear();
    if (!status.ok()) return Fail(status);
    if (token.value() != 0 && on_durable_) on_durable_(token);
    if (absl::Status s = RemoveCompacted(); !s.ok()) return Fail(s);
    return true;
  }

  absl::StatusOr<bool> PrepareSegments() override {
    {
      std::lock_guard lock(mu_);
      if (failed_) return Unusable();
    }
    absl::StatusOr<bool> made = pool_.Prepare();
    if (!made.ok() && !absl::IsResourceExhausted(made.status())) return Fail(made.status());
    return made;
  }

  uint64_t ReservedBytes() const override {
    const uint64_t usable = segment_bytes_ - kHeaderAlignment;
    const uint64_t ready = pool_.ready();
    std::lock_guard lock(mu_);
    return room_ + ready * usable;
  }

  absl::Status Close() override {
    for (;;) {
      absl::StatusOr<bool> more = Poll();
      if (!more.ok()) return more.status();
      if (!*more) break;
    }
    {
      std::lock_guard lock(mu_);
      if (closed_) return absl::OkStatus();
      closed_ = true;
    }
    absl::Status status = writer_.AddCleanShutdown();
    if (status.ok()) status = writer_.Commit();
    if (!status.ok()) return Fail(status);
    return absl::OkStatus();
  }

  LogStats stats() const override {
    std::lock_guard lock(mu_);
    return stats_;
  }

  const Identity& identity() const override { return identity_; }

  std::vector<raft::Entry> ReadEntries(raft::Index first, raft::Index last,
                                       uint64_t max_bytes) const override {
    std::vector<EntryIndex::Range> ranges;
    {
      std::lock_guard lock(mu_);
      ranges = entries_.Find(first, last, max_bytes);
    }
    std::vector<raft::Entry> out;
    for (const EntryIndex::Range& range : ranges) ReadRange(range, &out);
    return out;
  }

 private:
  absl::Status Unusable() const {
    return absl::FailedPreconditionError(directory_ + ": the log has failed and accepts no writes");
  }

  absl::Status Fail(const absl::Status& status) {
    std::lock_guard lock(mu_);
    failed_ = true;
    return status;
  }

  // Runs on the log thread. Holds mu_ only to publish the result.
  absl::Status WriteBatch(raft::Token* token) {
    for (const LogWrite& write : batch_) {
      if (absl::Status s = writer_.Add(write); !s.ok()) return s;
      if (write.token.value() == 0) continue;
      DQ_CHECK_MSG(write.token > last_token_, "tokens must increase");
      last_token_ = *token = write.token;
    }
    const uint64_t syncs = writer_.syncs();
    const auto begin = std::chrono::steady_clock::now();
    if (absl::Status s = writer_.Commit(); !s.ok()) return s;
    const auto elapsed = std::chrono::steady_clock::now() - begin;
    const std::vector<LogWriter::Change> changes = writer_.TakeChanges();
    std::vector<std::shared_ptr<Segment>> segments = writer_.TakeSegments();

    std::lock_guard lock(mu_);
    for (const LogWriter::Change& change : changes) {
      switch (change.kind) {
        case LogWriter::Change::kEntry:
          entries_.Append(change.index, change.segment, change.location);
          ++stats_.entries;
          break;
        case LogWriter::Change::kReset:
          entries_.Clear(change.index.Next());
          break;
        case LogWriter::Change::kCompact:
          entries_.DropTo(change.index);
          break;
      }
    }
    for (std::shared_ptr<Segment>& segment : segments) segments_.push_back(std::move(segment));
    room_ = writer_.room();
    if (writer_.syncs() != syncs) {
      stats_.sync_time.Observe(std::chrono::duration_cast<Duration>(elapsed));
    }
    UpdateStats();
    return absl::OkStatus();
  }

  void UpdateStats() {
    stats_.syncs = writer_.syncs();
    stats_.written_bytes = writer_.written_bytes();
    stats_.segments = segments_.size();
    stats_.live_bytes = entries_.record_bytes();
  }

  // Removes the oldest first and syncs after each: a missing segment in the middle is always
  // damage.
  absl::Status RemoveCompacted() {
    for (;;) {
      std::shared_ptr<Segment> oldest;
      {
        std::lock_guard lock(mu_);
        if (segments_.size() < 2 || entries_.OldestSegment() == segments_.front().get()) {
          return absl::OkStatus();
        }
        oldest = std::move(segments_.front());
        segments_.pop_front();
        stats_.segments = segments_.size();
      }
      DQ_CHECK(oldest != writer_.current());
      if (absl::Status s = fs_.Remove(oldest->path); !s.ok()) return s;
      if (absl::Status s = fs_.SyncDirectory(directory_); !s.ok()) return s;
    }
  }

  static void ReadRange(const EntryIndex::Range& range, std::vector<raft::Entry>* out) {
    const std::vector<EntryIndex::Location>& locations = range.locations;
    std::string buffer;
    for (size_t i = 0; i < locations.size();) {
      const uint64_t begin = locations[i].offset;
      uint64_t end = begin + RecordBytes(locations[i].length);
      size_t next = i + 1;
      while (next < locations.size() &&
             locations[next].offset + RecordBytes(locations[next].length) - begin <=
                 kReadPieceBytes) {
        end = locations[next].offset + RecordBytes(locations[next].length);
        ++next;
      }
      buffer.resize(end - begin);
      absl::StatusOr<size_t> n = [&] {
        std::lock_guard lock(range.segment->mu);
        return range.segment->reader->ReadAt(begin, buffer);
      }();
      DQ_CHECK_MSG(n.ok(), std::string(n.status().message()));
      DQ_CHECK_MSG(*n == buffer.size(), range.segment->path + " is shorter than it was");
      for (; i < next; ++i) {
        out->push_back(CheckedEntry(*range.segment, locations[i], range.first + i,
                                    std::string_view(buffer).substr(locations[i].offset - begin)));
      }
    }
  }

  // Checks the facts that held when the entry was written.
  static raft::Entry CheckedEntry(const Segment& segment, EntryIndex::Location location,
                                  raft::Index index, std::string_view bytes) {
    const std::string where = segment.path + ":" + std::to_string(location.offset) + ": entry " +
                              std::to_string(index.value()) + " ";
    const std::optional<RecordHeader> header = DecodeRecordHeader(bytes);
    DQ_CHECK_MSG(header.has_value(), where + "has a damaged header");
    DQ_CHECK_MSG(header->type == static_cast<uint8_t>(RecordType::kEntry) &&
                     header->length == location.length && header->salt == segment.salt &&
                     header->lsn == segment.base_lsn + location.offset,
                 where + "is a record of another place");
    const std::string_view payload = bytes.substr(kRecordHeaderBytes, header->length);
    DQ_CHECK_MSG(Crc32c(payload) == header->payload_crc, where + "has a damaged payload");
    std::optional<raft::Entry> entry = DecodeEntry(payload);
    DQ_CHECK_MSG(entry.has_value() && entry->index == index, where + "is another entry");
    return *std::move(entry);
  }

  FileSystem& fs_;
  const std::string directory_;
  SegmentPool pool_;
  LogWriter writer_;  // log thread
  const uint64_t segment_bytes_;
  Identity identity_;
  std::function<void(raft::Token)> on_durable_;
  std::function<void()> on_work_;
  std::vector<LogWrite> batch_;  // log thread
  raft::Token last_token_;       // log thread

  mutable std::mutex mu_;
  std::vector<LogWrite> queue_;
  EntryIndex entries_;  // durable entries only
  std::deque<std::shared_ptr<Segment>> segments_;
  LogStats stats_;
  uint64_t room_ = 0;
  bool failed_ = false;
  bool closed_ = false;
};

}  // namespace

std::string LogOptions::Problem() const {
  if (segment_bytes < kMinSegmentBytes || segment_bytes > kMaxSegmentBytes ||
      segment_bytes % kHeaderAlignment != 0) {
    return "segment_bytes is " + std::to_string(segment_bytes) + "; it must be a multiple of " +
           std::to_string(kHeaderAlignment) + " from " + std::to_string(kMinSegmentBytes) + " to " +
           std::to_string(kMaxSegmentBytes);
  }
  if (prepared_segments < 0 || prepared_segments > kMaxPreparedSegments) {
    return "prepared_segments is " + std::to_string(prepared_segments) + "; it must be from 0 to " +
           std::to_string(kMaxPreparedSegments);
  }
  if (max_entry_bytes == 0 || max_entry_bytes > MaxEntryBytes(segment_bytes)) {
    return "max_entry_bytes is " + std::to_string(max_entry_bytes) + "; with segment_bytes of " +
           std::to_string(segment_bytes) + " it must be from 1 to " +
           std::to_string(MaxEntryBytes(segment_bytes));
  }
  return {};
}

absl::StatusOr<bool> Log::Exists(FileSystem& fs, const std::string& directory) {
  absl::StatusOr<std::vector<DirectoryEntry>> list = fs.List(directory);
  if (absl::IsNotFound(list.status())) return false;
  if (!list.ok()) return list.status();
  return std::any_of(list->begin(), list->end(), [](const DirectoryEntry& entry) {
    return ParseSegmentName(entry.name).has_value();
  });
}

absl::Status Log::Format(FileSystem& fs, const std::string& directory, const Identity& identity,
                         const raft::HardState& hard_state, const std::vector<raft::Entry>& entries,
                         const LogOptions& options) {
  if (std::string problem = options.Problem(); !problem.empty()) {
    return absl::InvalidArgumentError(problem);
  }
  if (identity.node_name.size() > kMaxNodeNameBytes) {
    return absl::InvalidArgumentError("the node name has " +
                                      std::to_string(identity.node_name.size()) +
                                      " bytes; the limit is " + std::to_string(kMaxNodeNameBytes));
  }
  uint64_t bytes = RecordBytes(0) * 4 + kHeaderAlignment;
  for (const raft::Entry& entry : entries) {
    DQ_CHECK(entry.payload != nullptr);
    bytes += RecordBytes(kEntryPrefixBytes + entry.payload->size());
    if (entry.payload->size() > options.max_entry_bytes) bytes = UINT64_MAX / 2;
  }
  if (bytes > options.segment_bytes) {
    return absl::InvalidArgumentError("the first entries do not fit one segment of " +
                                      std::to_string(options.segment_bytes) + " bytes");
  }
  if (absl::Status s = fs.CreateDirectory(directory); !s.ok()) return s;
  absl::StatusOr<bool> exists = Exists(fs, directory);
  if (!exists.ok()) return exists.status();
  if (*exists) return absl::AlreadyExistsError(directory + " holds a log already");

  SegmentPool pool(fs, directory, options.segment_bytes, 0);
  LogWriter writer(fs, directory, options, &pool);
  LogWriter::NewSegment new_segment;
  new_segment.identity = identity;
  if (absl::Status s = writer.StartSegment(new_segment, LogState()); !s.ok()) return s;
  LogWrite write;
  write.hard_state = hard_state;
  write.entries = entries;
  if (absl::Status s = writer.Add(write); !s.ok()) return s;
  return writer.Commit();
}

absl::StatusOr<Identity> Log::ReadIdentity(FileSystem& fs, const std::string& directory) {
  absl::StatusOr<std::vector<DirectoryEntry>> list = fs.List(directory);
  if (!list.ok()) return list.status();
  absl::Status problem = absl::NotFoundError("no log in " + directory);
  for (auto entry = list->rbegin(); entry != list->rend(); ++entry) {
    if (!ParseSegmentName(entry->name)) continue;
    const std::string path = JoinPath(directory, entry->name);
    absl::StatusOr<std::unique_ptr<File>> file = fs.OpenForRead(path);
    absl::Status status = file.status();
    if (file.ok()) {
      absl::StatusOr<SegmentHeader> header = ReadSegmentHeader(**file);
      if (header.ok()) return header->identity;
      status = absl::Status(header.status().code(),
                            path + ":0: " + std::string(header.status().message()));
    }
    if (absl::IsNotFound(problem)) problem = status;
  }
  return problem;
}

absl::StatusOr<std::unique_ptr<Log>> Log::Open(FileSystem& fs, const std::string& directory,
                                               const LogOptions& options, RecoveredLog* recovered) {
  if (std::string problem = options.Problem(); !problem.empty()) {
    return absl::InvalidArgumentError(problem);
  }
  auto log = std::make_unique<LogImpl>(fs, directory, options);
  if (absl::Status s = log->Recover(options, recovered); !s.ok()) return s;
  return log;
}

}  // namespace dqueue::storage
