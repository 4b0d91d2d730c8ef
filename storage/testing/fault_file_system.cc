#include "storage/testing/fault_file_system.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace dqueue::storage {
namespace {

// SplitMix64 (Steele, Lea, Flood 2014). The sequence is the same on every platform.
class Rng {
 public:
  explicit Rng(uint64_t seed) : state_(seed) {}
  uint64_t Next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  uint64_t Below(uint64_t n) { return Next() % n; }
  bool Percent(uint64_t p) { return Below(100) < p; }

 private:
  uint64_t state_;
};

bool IsMutation(DiskOp op) {
  switch (op) {
    case DiskOp::kCreate:
    case DiskOp::kWrite:
    case DiskOp::kSync:
    case DiskOp::kRename:
    case DiskOp::kRemove:
    case DiskOp::kCreateDirectory:
    case DiskOp::kSyncDirectory:
      return true;
    default:
      return false;
  }
}

// "/a//b/./c/" is "a/b/c"; the root is "".
std::string Normalise(const std::string& path) {
  std::string out;
  size_t i = 0;
  while (i < path.size()) {
    size_t end = path.find('/', i);
    if (end == std::string::npos) end = path.size();
    std::string_view part(path.data() + i, end - i);
    if (!part.empty() && part != ".") {
      if (!out.empty()) out += '/';
      out += part;
    }
    i = end + 1;
  }
  return out;
}

std::pair<std::string, std::string> Split(const std::string& path) {
  std::string whole = Normalise(path);
  size_t slash = whole.rfind('/');
  if (slash == std::string::npos) return {"", whole};
  return {whole.substr(0, slash), whole.substr(slash + 1)};
}

// The content of a sector after an interrupted write of `fresh` over `old`. Bytes that are equal in
// both are unchanged.
void Tear(Rng& rng, const char* old, const char* fresh, char* out, size_t size) {
  const size_t cut = rng.Below(size + 1);
  switch (rng.Below(3)) {
    case 0:
      std::memcpy(out, fresh, cut);
      std::memcpy(out + cut, old + cut, size - cut);
      break;
    case 1:
      std::memcpy(out, old, cut);
      std::memcpy(out + cut, fresh + cut, size - cut);
      break;
    default:
      for (size_t i = 0; i < size; ++i) {
        out[i] = old[i] == fresh[i] ? old[i] : static_cast<char>(rng.Next());
      }
  }
}

}  // namespace

struct FaultFileSystem::Inode {
  // The content of a sector before a write that is not durable. The first version of a sector is
  // the durable one; later versions may have reached the disk.
  struct Before {
    uint64_t sector;
    size_t at;  // in before_bytes
    bool lost;  // a failed sync dropped the write; a later sync does not make it durable
  };

  bool special = false;
  std::string bytes;          // as readers see it
  uint64_t durable_size = 0;  // size after undoing every Before
  std::vector<Before> before;
  std::string before_bytes;  // kSectorBytes for each element of `before`, zero-padded
  bool any_lost = false;

  bool Clean() const { return before.empty() && durable_size == bytes.size(); }

  // Called before `data` is written. Skips sectors that do not change, unless a failed sync may
  // have lost an earlier change.
  void RememberChanged(uint64_t offset, std::span<const char> data) {
    const uint64_t end = offset + data.size();
    for (uint64_t sector = offset / kSectorBytes; sector * kSectorBytes < end; ++sector) {
      const uint64_t at = sector * kSectorBytes;
      const bool whole = at >= offset && at + kSectorBytes <= std::min<uint64_t>(end, bytes.size());
      if (whole && !any_lost &&
          std::memcmp(bytes.data() + at, data.data() + (at - offset), kSectorBytes) == 0) {
        continue;
      }
      Remember(sector, sector);
    }
  }

  void Remember(uint64_t first_sector, uint64_t last_sector) {
    for (uint64_t sector = first_sector; sector <= last_sector; ++sector) {
      before.push_back({sector, before_bytes.size(), false});
      const uint64_t at = sector * kSectorBytes;
      const uint64_t have =
          at < bytes.size() ? std::min<uint64_t>(kSectorBytes, bytes.size() - at) : 0;
      before_bytes.append(bytes, have == 0 ? 0 : at, have);
      before_bytes.append(kSectorBytes - have, '\0');
    }
  }

  void Forget() {
    before.clear();
    before_bytes.clear();
    any_lost = false;
  }

  void SyncDone() {
    durable_size = bytes.size();
    if (!any_lost) {
      Forget();
      return;
    }
    // A sector rewritten after the failed sync is durable now; the others are not.
    std::set<uint64_t> rewritten;
    for (const Before& b : before) {
      if (!b.lost) rewritten.insert(b.sector);
    }
    std::erase_if(before, [&](const Before& b) { return rewritten.contains(b.sector); });
    any_lost = !before.empty();
  }

  void SyncFailed() {
    for (Before& b : before) b.lost = true;
    any_lost = !before.empty();
  }

  std::string Durable() const {
    std::string out = bytes;
    for (size_t i = before.size(); i-- > 0;) {
      const uint64_t at = before[i].sector * kSectorBytes;
      if (out.size() < at + kSectorBytes) out.resize(at + kSectorBytes, '\0');
      out.replace(at, kSectorBytes, before_bytes, before[i].at, kSectorBytes);
    }
    out.resize(durable_size, '\0');
    return out;
  }

  void BecomeDurable(std::string content) {
    bytes = std::move(content);
    durable_size = bytes.size();
    Forget();
  }

  // `keep` decides for all sectors; if unset, each sector is decided by itself.
  void Crash(std::optional<bool> keep, Rng& rng) {
    if (Clean()) return;
    if (keep.has_value()) {
      BecomeDurable(*keep ? std::move(bytes) : Durable());
      return;
    }
    static constexpr uint64_t kKeepPercent[] = {0, 10, 50, 90, 100};
    const uint64_t keep_percent = kKeepPercent[rng.Below(5)];
    const uint64_t sizes[] = {durable_size, bytes.size(), 0};
    uint64_t size = sizes[rng.Below(2)];
    if (rng.Percent(20)) {
      const uint64_t low = std::min<uint64_t>(durable_size, bytes.size()) / kSectorBytes;
      const uint64_t high = std::max<uint64_t>(durable_size, bytes.size()) / kSectorBytes;
      size = (low + rng.Below(high - low + 1)) * kSectorBytes;
    }
    const uint64_t whole = (std::max<uint64_t>(durable_size, bytes.size()) + kSectorBytes - 1) /
                           kSectorBytes * kSectorBytes;
    std::string fresh = bytes;
    fresh.resize(whole, '\0');
    std::string out = Durable();
    out.resize(whole, '\0');

    std::map<uint64_t, std::vector<const char*>> versions;  // by sector, the durable version first
    for (const Before& b : before) versions[b.sector].push_back(before_bytes.data() + b.at);
    for (auto& [sector, list] : versions) {
      const uint64_t at = sector * kSectorBytes;
      if (at >= whole) continue;
      list.push_back(fresh.data() + at);
      size_t chosen = 0;
      if (rng.Percent(keep_percent)) {
        chosen = rng.Percent(75) ? list.size() - 1 : rng.Below(list.size());
        out.replace(at, kSectorBytes, list[chosen], kSectorBytes);
      } else if (rng.Percent(20)) {
        chosen = 1 + rng.Below(list.size() - 1);
        Tear(rng, list[0], list[chosen], out.data() + at, kSectorBytes);
      }
    }
    out.resize(size, '\0');
    BecomeDurable(std::move(out));
  }
};

struct FaultFileSystem::Directory {
  struct Change {
    enum Kind { kLink, kUnlink, kRename } kind;
    std::string name;
    std::string to;  // kRename
    InodePtr inode;
  };
  std::map<std::string, InodePtr> names;    // as readers see it
  std::map<std::string, InodePtr> durable;  // without `pending`
  std::vector<Change> pending;

  static void Apply(const Change& change, std::map<std::string, InodePtr>& names) {
    const auto erase = [&names, &change] {
      auto it = names.find(change.name);
      if (it != names.end() && it->second == change.inode) names.erase(it);
    };
    switch (change.kind) {
      case Change::kLink:
        names[change.name] = change.inode;
        return;
      case Change::kUnlink:
        erase();
        return;
      case Change::kRename:
        erase();
        names[change.to] = change.inode;
        return;
    }
  }

  void Make(Change change) {
    Apply(change, names);
    pending.push_back(std::move(change));
  }

  void Sync() {
    if (pending.empty()) return;
    durable = names;
    pending.clear();
  }

  void Crash(std::optional<bool> keep, Rng& rng) {
    if (pending.empty()) return;
    static constexpr uint64_t kKeepPercent[] = {0, 50, 80, 100};
    const uint64_t keep_percent = kKeepPercent[rng.Below(4)];
    for (const Change& change : pending) {
      if (keep.has_value() ? *keep : rng.Percent(keep_percent)) Apply(change, durable);
    }
    names = durable;
    pending.clear();
  }
};

class FaultFileSystem::Handle : public File {
 public:
  Handle(FaultFileSystem* fs, std::string path, InodePtr inode, bool writable, uint64_t epoch)
      : fs_(fs),
        path_(std::move(path)),
        inode_(std::move(inode)),
        writable_(writable),
        epoch_(epoch) {}

  absl::StatusOr<size_t> ReadAt(uint64_t offset, std::span<char> out) const override {
    std::lock_guard lock(fs_->mu_);
    if (absl::Status s = Ready(); !s.ok()) return s;
    if (absl::Status s = fs_->BeginCall(DiskOp::kRead, path_, nullptr); !s.ok()) return s;
    if (offset >= inode_->bytes.size()) return size_t{0};
    const size_t n = std::min<uint64_t>(out.size(), inode_->bytes.size() - offset);
    std::memcpy(out.data(), inode_->bytes.data() + offset, n);
    return n;
  }

  absl::Status WriteAt(uint64_t offset, std::span<const char> data) override {
    std::lock_guard lock(fs_->mu_);
    if (absl::Status s = Ready(); !s.ok()) return s;
    DQ_CHECK_MSG(writable_, path_ + " is open for reading only");
    DQ_CHECK_MSG(!direct_ || (offset | data.size() | reinterpret_cast<uintptr_t>(data.data())) %
                                     kDirectAlignment ==
                                 0,
                 path_ + ": a direct write that is not aligned");
    return fs_->Write(*inode_, path_, offset, data);
  }

  void WriteDirectly() override { direct_ = true; }

  absl::Status Sync() override {
    std::lock_guard lock(fs_->mu_);
    if (absl::Status s = Ready(); !s.ok()) return s;
    bool half_done = false;
    if (absl::Status s = fs_->BeginCall(DiskOp::kSync, path_, &half_done); !s.ok()) {
      // A failed sync loses the writes; a sync interrupted by StopAfter() leaves them pending.
      if (half_done && !fs_->stopped_) inode_->SyncFailed();
      return s;
    }
    ++fs_->counts_.syncs;
    inode_->SyncDone();
    return absl::OkStatus();
  }

  absl::StatusOr<uint64_t> Size() const override {
    std::lock_guard lock(fs_->mu_);
    if (absl::Status s = Ready(); !s.ok()) return s;
    return inode_->bytes.size();
  }

 private:
  absl::Status Ready() const {
    if (epoch_ == fs_->epoch_) return absl::OkStatus();
    return absl::UnavailableError(path_ + ": opened before the crash");
  }

  FaultFileSystem* const fs_;
  const std::string path_;
  const InodePtr inode_;
  const bool writable_;
  bool direct_ = false;
  const uint64_t epoch_;
};

class FaultFileSystem::HeldLock : public FileLock {
 public:
  HeldLock(FaultFileSystem* fs, std::string path, uint64_t epoch)
      : fs_(fs), path_(std::move(path)), epoch_(epoch) {}
  ~HeldLock() override {
    std::lock_guard lock(fs_->mu_);
    if (epoch_ == fs_->epoch_) fs_->locks_.erase(path_);
  }

 private:
  FaultFileSystem* const fs_;
  const std::string path_;
  const uint64_t epoch_;
};

FaultFileSystem::FaultFileSystem() { directories_[""]; }
FaultFileSystem::~FaultFileSystem() = default;

// Returns an error if the call must fail. *half_done: the failing call takes effect in part.
absl::Status FaultFileSystem::BeginCall(DiskOp op, const std::string& path, bool* half_done) {
  if (half_done != nullptr) *half_done = false;
  if (stopped_) return absl::UnavailableError(path + ": the machine has stopped");
  const bool mutation = IsMutation(op);
  if (mutation && mutations_left_.has_value()) {
    if (*mutations_left_ == 0) {
      stopped_ = true;
      if (half_done != nullptr) *half_done = true;
      return absl::UnavailableError(path + ": the machine has stopped");
    }
    --*mutations_left_;
  }
  if (mutation) ++counts_.mutations;
  absl::Status result;
  for (size_t i = 0; i < failures_.size();) {
    PlannedFailure& f = failures_[i];
    const bool matches =
        (f.op == op || f.op == DiskOp::kAny || (f.op == DiskOp::kAnyMutation && mutation)) &&
        path.find(f.part) != std::string::npos;
    if (!matches || (f.remaining > 1 && --f.remaining > 0)) {
      ++i;
      continue;
    }
    if (result.ok()) {
      result = absl::Status(f.status.code(), path + ": " + std::string(f.status.message()));
    }
    if (f.remaining == 1) {
      failures_.erase(failures_.begin() + static_cast<ptrdiff_t>(i));
    } else {
      ++i;
    }
  }
  if (!result.ok() && half_done != nullptr) *half_done = true;
  return result;
}

FaultFileSystem::Directory* FaultFileSystem::FindDirectory(const std::string& directory) {
  auto it = directories_.find(directory);
  return it == directories_.end() ? nullptr : &it->second;
}
const FaultFileSystem::Directory* FaultFileSystem::FindDirectory(
    const std::string& directory) const {
  auto it = directories_.find(directory);
  return it == directories_.end() ? nullptr : &it->second;
}

absl::StatusOr<FaultFileSystem::InodePtr> FaultFileSystem::Find(const std::string& path) const {
  const auto [directory, name] = Split(path);
  const Directory* d = FindDirectory(directory);
  if (d != nullptr) {
    auto it = d->names.find(name);
    if (it != d->names.end()) return it->second;
  }
  if (FindDirectory(Normalise(path)) != nullptr) {
    return absl::InternalError(path + ": not a regular file");
  }
  return absl::NotFoundError(path + ": No such file or directory");
}

absl::StatusOr<std::unique_ptr<File>> FaultFileSystem::OpenForRead(const std::string& path) {
  std::lock_guard lock(mu_);
  if (absl::Status s = BeginCall(DiskOp::kOpen, path, nullptr); !s.ok()) return s;
  absl::StatusOr<InodePtr> inode = Find(path);
  if (!inode.ok()) return inode.status();
  if ((*inode)->special) return absl::InternalError(path + ": not a regular file");
  return std::make_unique<Handle>(this, path, *std::move(inode), false, epoch_);
}

absl::StatusOr<std::unique_ptr<File>> FaultFileSystem::OpenForWrite(const std::string& path) {
  std::lock_guard lock(mu_);
  if (absl::Status s = BeginCall(DiskOp::kOpen, path, nullptr); !s.ok()) return s;
  absl::StatusOr<InodePtr> inode = Find(path);
  if (!inode.ok()) return inode.status();
  if ((*inode)->special) return absl::InternalError(path + ": not a regular file");
  return std::make_unique<Handle>(this, path, *std::move(inode), true, epoch_);
}

absl::StatusOr<std::unique_ptr<File>> FaultFileSystem::Create(const std::string& path) {
  std::lock_guard lock(mu_);
  if (absl::Status s = BeginCall(DiskOp::kCreate, path, nullptr); !s.ok()) return s;
  const auto [directory, name] = Split(path);
  Directory* d = FindDirectory(directory);
  if (d == nullptr) return absl::NotFoundError(path + ": No such file or directory");
  if (FindDirectory(Normalise(path)) != nullptr) {
    return absl::InternalError(path + ": Is a directory");
  }
  auto it = d->names.find(name);
  if (it != d->names.end()) {
    InodePtr inode = it->second;
    if (inode->special) return absl::InternalError(path + ": not a regular file");
    if (!inode->bytes.empty()) {
      inode->Remember(0, (inode->bytes.size() - 1) / kSectorBytes);
      inode->bytes.clear();
    }
    return std::make_unique<Handle>(this, path, std::move(inode), true, epoch_);
  }
  auto inode = std::make_shared<Inode>();
  d->Make({Directory::Change::kLink, name, "", inode});
  return std::make_unique<Handle>(this, path, std::move(inode), true, epoch_);
}

absl::Status FaultFileSystem::Write(Inode& inode, const std::string& path, uint64_t offset,
                                    std::span<const char> data) {
  bool half_done = false;
  absl::Status begun = BeginCall(DiskOp::kWrite, path, &half_done);
  if (!begun.ok()) {
    if (half_done) (void)Store(inode, offset, data.first(data.size() / 2));
    return begun;
  }
  ++counts_.writes;
  const uint64_t end = offset + data.size();
  if (capacity_ != UINT64_MAX && end > inode.bytes.size()) {
    uint64_t used = 0;
    for (const auto& [name, d] : directories_) {
      for (const auto& [file, other] : d.names) used += other->bytes.size();
    }
    const uint64_t room = used < capacity_ ? capacity_ - used : 0;
    if (end - inode.bytes.size() > room) {
      const uint64_t limit = inode.bytes.size() + room;
      if (limit > offset) (void)Store(inode, offset, data.first(limit - offset));
      return absl::ResourceExhaustedError(path + ": No space left on device");
    }
  }
  counts_.written_bytes += data.size();
  return Store(inode, offset, data);
}

absl::Status FaultFileSystem::Store(Inode& inode, uint64_t offset, std::span<const char> data) {
  if (data.empty()) return absl::OkStatus();
  const uint64_t end = offset + data.size();
  inode.RememberChanged(offset, data);
  if (inode.bytes.size() < end) inode.bytes.resize(end, '\0');
  std::memcpy(inode.bytes.data() + offset, data.data(), data.size());
  return absl::OkStatus();
}

absl::Status FaultFileSystem::Rename(const std::string& from, const std::string& to) {
  std::lock_guard lock(mu_);
  if (absl::Status s = BeginCall(DiskOp::kRename, from, nullptr); !s.ok()) return s;
  absl::StatusOr<InodePtr> inode = Find(from);
  if (!inode.ok()) return inode.status();
  const auto [directory, name] = Split(from);
  const auto [to_directory, to_name] = Split(to);
  DQ_CHECK_MSG(directory == to_directory, "rename across directories: " + from + " to " + to);
  if (FindDirectory(Normalise(to)) != nullptr) return absl::InternalError(to + ": Is a directory");
  if (name == to_name) return absl::OkStatus();
  FindDirectory(directory)->Make({Directory::Change::kRename, name, to_name, *std::move(inode)});
  return absl::OkStatus();
}

absl::Status FaultFileSystem::Remove(const std::string& path) {
  std::lock_guard lock(mu_);
  if (absl::Status s = BeginCall(DiskOp::kRemove, path, nullptr); !s.ok()) return s;
  absl::StatusOr<InodePtr> inode = Find(path);
  if (!inode.ok()) return inode.status();
  const auto [directory, name] = Split(path);
  FindDirectory(directory)->Make({Directory::Change::kUnlink, name, "", *std::move(inode)});
  return absl::OkStatus();
}

absl::StatusOr<std::vector<DirectoryEntry>> FaultFileSystem::List(const std::string& directory) {
  std::lock_guard lock(mu_);
  if (absl::Status s = BeginCall(DiskOp::kList, directory, nullptr); !s.ok()) return s;
  const std::string path = Normalise(directory);
  const Directory* d = FindDirectory(path);
  if (d == nullptr) return absl::NotFoundError(directory + ": No such file or directory");
  std::vector<DirectoryEntry> out;
  for (const auto& [name, inode] : d->names) {
    out.push_back({name, inode->bytes.size(), !inode->special});
  }
  for (const auto& [child, unused] : directories_) {
    if (child.empty()) continue;
    const auto [parent, name] = Split(child);
    if (parent == path) out.push_back({name, 0, false});
  }
  std::sort(out.begin(), out.end(),
            [](const DirectoryEntry& a, const DirectoryEntry& b) { return a.name < b.name; });
  return out;
}

absl::Status FaultFileSystem::CreateDirectory(const std::string& path) {
  std::lock_guard lock(mu_);
  if (absl::Status s = BeginCall(DiskOp::kCreateDirectory, path, nullptr); !s.ok()) return s;
  const std::string whole = Normalise(path);
  for (size_t slash = 0; slash != std::string::npos;) {
    slash = whole.find('/', slash + 1);
    const std::string part = whole.substr(0, slash);
    const auto [parent, name] = Split(part);
    if (const Directory* d = FindDirectory(parent); d != nullptr && d->names.contains(name)) {
      return absl::InternalError(path + ": " + part + " is not a directory");
    }
    directories_[part];
  }
  return absl::OkStatus();
}

absl::Status FaultFileSystem::SyncDirectory(const std::string& path) {
  std::lock_guard lock(mu_);
  if (absl::Status s = BeginCall(DiskOp::kSyncDirectory, path, nullptr); !s.ok()) return s;
  Directory* d = FindDirectory(Normalise(path));
  if (d == nullptr) return absl::NotFoundError(path + ": No such file or directory");
  ++counts_.directory_syncs;
  d->Sync();
  return absl::OkStatus();
}

absl::StatusOr<bool> FaultFileSystem::Exists(const std::string& path) {
  std::lock_guard lock(mu_);
  if (absl::Status s = BeginCall(DiskOp::kOpen, path, nullptr); !s.ok()) return s;
  return FindDirectory(Normalise(path)) != nullptr || Find(path).ok();
}

absl::StatusOr<std::unique_ptr<FileLock>> FaultFileSystem::Lock(const std::string& path) {
  std::lock_guard lock(mu_);
  if (absl::Status s = BeginCall(DiskOp::kLock, path, nullptr); !s.ok()) return s;
  const auto [directory, name] = Split(path);
  Directory* d = FindDirectory(directory);
  if (d == nullptr) return absl::NotFoundError(path + ": No such file or directory");
  if (!locks_.insert(Normalise(path)).second) {
    return absl::FailedPreconditionError(path + ": in use by process 1");
  }
  if (!d->names.contains(name)) {
    auto inode = std::make_shared<Inode>();
    inode->BecomeDurable("1\n");
    d->names[name] = inode;
    d->durable[name] = inode;
  }
  return std::make_unique<HeldLock>(this, Normalise(path), epoch_);
}

absl::StatusOr<uint64_t> FaultFileSystem::FreeBytes(const std::string& directory) {
  {
    std::lock_guard lock(mu_);
    if (absl::Status s = BeginCall(DiskOp::kOpen, directory, nullptr); !s.ok()) return s;
    if (capacity_ == UINT64_MAX) return uint64_t{1} << 40;
  }
  const uint64_t used = UsedBytes();
  std::lock_guard lock(mu_);
  return used < capacity_ ? capacity_ - used : 0;
}

absl::StatusOr<uint64_t> FaultFileSystem::TotalBytes(const std::string&) {
  std::lock_guard lock(mu_);
  return capacity_ == UINT64_MAX ? uint64_t{1} << 40 : capacity_;
}

void FaultFileSystem::CrashLocked(std::optional<bool> keep, uint64_t seed) {
  Rng rng(seed);
  // A file is gone if all its names are lost; a file whose removal was lost is back.
  for (auto& [path, directory] : directories_) directory.Crash(keep, rng);
  std::set<const Inode*> done;
  for (auto& [path, directory] : directories_) {
    for (auto& [name, inode] : directory.names) {
      if (done.insert(inode.get()).second) inode->Crash(keep, rng);
    }
  }
  ++epoch_;
  locks_.clear();
  failures_.clear();
  mutations_left_.reset();
  stopped_ = false;
}

void FaultFileSystem::Crash(uint64_t seed) {
  std::lock_guard lock(mu_);
  CrashLocked(std::nullopt, seed);
}

void FaultFileSystem::CrashKeeping(bool pending) {
  std::lock_guard lock(mu_);
  CrashLocked(pending, 0);
}

void FaultFileSystem::StopAfter(uint64_t n) {
  std::lock_guard lock(mu_);
  mutations_left_ = n;
}

bool FaultFileSystem::stopped() const {
  std::lock_guard lock(mu_);
  return stopped_;
}

std::unique_ptr<FaultFileSystem> FaultFileSystem::Clone() const {
  std::lock_guard lock(mu_);
  auto copy = std::make_unique<FaultFileSystem>();
  std::map<const Inode*, InodePtr> inodes;
  const auto copy_of = [&inodes](const InodePtr& inode) {
    InodePtr& mine = inodes[inode.get()];
    if (mine == nullptr) mine = std::make_shared<Inode>(*inode);
    return mine;
  };
  for (const auto& [path, directory] : directories_) {
    Directory& mine = copy->directories_[path];
    for (const auto& [name, inode] : directory.names) mine.names[name] = copy_of(inode);
    for (const auto& [name, inode] : directory.durable) mine.durable[name] = copy_of(inode);
    for (const Directory::Change& change : directory.pending) {
      mine.pending.push_back({change.kind, change.name, change.to, copy_of(change.inode)});
    }
  }
  copy->capacity_ = capacity_;
  copy->counts_ = counts_;
  return copy;
}

void FaultFileSystem::FailNth(DiskOp op, uint64_t n, absl::Status status) {
  FailNth(op, n, std::move(status), "");
}

void FaultFileSystem::FailNth(DiskOp op, uint64_t n, absl::Status status, std::string part) {
  DQ_CHECK(n >= 1 && !status.ok());
  std::lock_guard lock(mu_);
  failures_.push_back({op, n, std::move(status), std::move(part)});
}

void FaultFileSystem::FailAll(DiskOp op, absl::Status status) {
  DQ_CHECK(!status.ok());
  std::lock_guard lock(mu_);
  failures_.push_back({op, 0, std::move(status), ""});
}

void FaultFileSystem::ClearFailures() {
  std::lock_guard lock(mu_);
  failures_.clear();
}

void FaultFileSystem::SetCapacity(uint64_t bytes) {
  std::lock_guard lock(mu_);
  capacity_ = bytes;
}

uint64_t FaultFileSystem::UsedBytes() const {
  std::lock_guard lock(mu_);
  uint64_t used = 0;
  for (const auto& [path, directory] : directories_) {
    for (const auto& [name, inode] : directory.names) used += inode->bytes.size();
  }
  return used;
}

void FaultFileSystem::FlipBit(const std::string& path, uint64_t bit) {
  std::lock_guard lock(mu_);
  absl::StatusOr<InodePtr> inode = Find(path);
  DQ_CHECK_MSG(inode.ok(), std::string(inode.status().message()));
  const uint64_t byte = bit / 8;
  const char mask = static_cast<char>(1u << (bit % 8));
  DQ_CHECK_MSG(byte < (*inode)->bytes.size(), path + " has no bit " + std::to_string(bit));
  (*inode)->bytes[byte] ^= mask;
  for (const Inode::Before& b : (*inode)->before) {
    if (b.sector == byte / kSectorBytes) {
      (*inode)->before_bytes[b.at + byte % kSectorBytes] ^= mask;
    }
  }
}

std::string FaultFileSystem::Bytes(const std::string& path) const {
  std::lock_guard lock(mu_);
  absl::StatusOr<InodePtr> inode = Find(path);
  DQ_CHECK_MSG(inode.ok(), std::string(inode.status().message()));
  return (*inode)->bytes;
}

absl::StatusOr<std::string> FaultFileSystem::DurableBytes(const std::string& path) const {
  std::lock_guard lock(mu_);
  const auto [directory, name] = Split(path);
  const Directory* d = FindDirectory(directory);
  if (d == nullptr || !d->durable.contains(name)) {
    return absl::NotFoundError(path + ": the name is not durable");
  }
  return d->durable.at(name)->Durable();
}

bool FaultFileSystem::DurablyExists(const std::string& path) const {
  std::lock_guard lock(mu_);
  const auto [directory, name] = Split(path);
  const Directory* d = FindDirectory(directory);
  return FindDirectory(Normalise(path)) != nullptr || (d != nullptr && d->durable.contains(name));
}

void FaultFileSystem::PutFile(const std::string& path, std::string bytes) {
  std::lock_guard lock(mu_);
  const auto [directory, name] = Split(path);
  auto inode = std::make_shared<Inode>();
  inode->BecomeDurable(std::move(bytes));
  Directory& d = directories_[directory];
  d.names[name] = inode;
  d.durable[name] = inode;
}

void FaultFileSystem::PutSpecial(const std::string& path) {
  PutFile(path, "");
  std::lock_guard lock(mu_);
  const auto [directory, name] = Split(path);
  directories_[directory].names[name]->special = true;
}

std::vector<std::string> FaultFileSystem::Paths() const {
  std::lock_guard lock(mu_);
  std::vector<std::string> out;
  for (const auto& [path, directory] : directories_) {
    for (const auto& [name, inode] : directory.names) {
      if (!inode->special) out.push_back(path.empty() ? name : path + "/" + name);
    }
  }
  std::sort(out.begin(), out.end());
  return out;
}

FaultFileSystem::Counts FaultFileSystem::counts() const {
  std::lock_guard lock(mu_);
  return counts_;
}

}  // namespace dqueue::storage
