#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "storage/files/file_system.h"

namespace dqueue::storage {
namespace {

// "PATH: what: text of errno"
absl::Status ErrnoStatus(int error, const std::string& path, const std::string& what) {
  const std::string message =
      path + ": " + what + ": " + std::error_code(error, std::generic_category()).message();
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return absl::ResourceExhaustedError(message);
    case ENOENT:
      return absl::NotFoundError(message);
    case EEXIST:
      return absl::AlreadyExistsError(message);
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(message);
    default:
      return absl::InternalError(message);
  }
}

template <class Call>
auto RetryInterrupted(Call call) {
  for (;;) {
    auto result = call();
    if (result != -1 || errno != EINTR) return result;
  }
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

class PosixFile : public File {
 public:
  PosixFile(std::string path, Descriptor fd) : path_(std::move(path)), fd_(std::move(fd)) {}

  absl::StatusOr<size_t> ReadAt(uint64_t offset, std::span<char> out) const override {
    size_t done = 0;
    while (done < out.size()) {
      const ssize_t n = RetryInterrupted([&] {
        return ::pread(fd_.get(), out.data() + done, out.size() - done,
                       static_cast<off_t>(offset + done));
      });
      if (n < 0) return ErrnoStatus(errno, path_, "read at " + std::to_string(offset + done));
      if (n == 0) break;
      done += static_cast<size_t>(n);
    }
    return done;
  }

  absl::Status WriteAt(uint64_t offset, std::span<const char> data) override {
    return Write(offset, data, 0);
  }

  absl::Status WriteAndSync(uint64_t offset, std::span<const char> data) override {
    if (!writes_sync_) return File::WriteAndSync(offset, data);
    return Write(offset, data, RWF_DSYNC);
  }

  void WriteDirectly() override { SetDirect(true); }

  absl::Status Sync() override {
    // Not retried, not even on EINTR: after a failure the state of unsynced bytes is unknown.
    if (::fdatasync(fd_.get()) != 0) return ErrnoStatus(errno, path_, "fdatasync");
    return absl::OkStatus();
  }

  absl::StatusOr<uint64_t> Size() const override {
    struct stat st;
    if (::fstat(fd_.get(), &st) != 0) return ErrnoStatus(errno, path_, "fstat");
    return static_cast<uint64_t>(st.st_size);
  }

 private:
  // `flags` are those of pwritev2.
  absl::Status Write(uint64_t offset, std::span<const char> data, int flags) {
    size_t done = 0;
    while (done < data.size()) {
      iovec rest = {const_cast<char*>(data.data()) + done, data.size() - done};
      const ssize_t n = RetryInterrupted([&] {
        return ::pwritev2(fd_.get(), &rest, 1, static_cast<off_t>(offset + done), flags);
      });
      if (n < 0 && (errno == EOPNOTSUPP || errno == ENOSYS) && flags != 0) {
        writes_sync_ = false;
        return WriteAndSync(offset, data);
      }
      if (n < 0 && errno == EINVAL && direct_) {
        // The disk's block size is larger than kDirectAlignment, or the data is not aligned.
        if (!SetDirect(false)) return ErrnoStatus(errno, path_, "leave direct writes");
        continue;
      }
      if (n < 0) return ErrnoStatus(errno, path_, "write at " + std::to_string(offset + done));
      if (n == 0) return absl::InternalError(path_ + ": write: nothing was written");
      done += static_cast<size_t>(n);
    }
    return absl::OkStatus();
  }

  // False if the file system does not support O_DIRECT.
  bool SetDirect(bool direct) {
    const int flags = ::fcntl(fd_.get(), F_GETFL);
    if (flags < 0) return false;
    if (::fcntl(fd_.get(), F_SETFL, direct ? flags | O_DIRECT : flags & ~O_DIRECT) != 0) {
      return false;
    }
    direct_ = direct;
    return true;
  }

  const std::string path_;
  const Descriptor fd_;
  bool direct_ = false;
  bool writes_sync_ = true;  // false once the system has refused RWF_DSYNC
};

class PosixFileLock : public FileLock {
 public:
  explicit PosixFileLock(Descriptor fd) : fd_(std::move(fd)) {}

 private:
  const Descriptor fd_;
};

// Refuses a symbolic link as the last component. O_NONBLOCK: opening a FIFO must not wait.
absl::StatusOr<std::unique_ptr<File>> OpenRegular(const std::string& path, int flags,
                                                  const char* what) {
  const int raw = RetryInterrupted(
      [&] { return ::open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600); });
  if (raw < 0) {
    if (errno == ELOOP) return absl::InternalError(path + ": a symbolic link, not a regular file");
    if (errno == EISDIR) return absl::InternalError(path + ": a directory, not a regular file");
    if (errno == ENXIO) return absl::InternalError(path + ": not a regular file");
    return ErrnoStatus(errno, path, what);
  }
  Descriptor fd(raw);
  struct stat st;
  if (::fstat(fd.get(), &st) != 0) return ErrnoStatus(errno, path, "fstat");
  if (!S_ISREG(st.st_mode)) return absl::InternalError(path + ": not a regular file");
  return std::make_unique<PosixFile>(path, std::move(fd));
}

std::string ParentOf(const std::string& path) {
  const size_t end = path.find_last_not_of('/');
  if (end == std::string::npos) return "/";
  const size_t slash = path.find_last_of('/', end);
  if (slash == std::string::npos) return ".";
  const size_t parent_end = path.find_last_not_of('/', slash);
  return parent_end == std::string::npos ? "/" : path.substr(0, parent_end + 1);
}

class PosixFileSystemImpl : public FileSystem {
 public:
  absl::StatusOr<std::unique_ptr<File>> OpenForRead(const std::string& path) override {
    return OpenRegular(path, O_RDONLY, "open");
  }
  absl::StatusOr<std::unique_ptr<File>> OpenForWrite(const std::string& path) override {
    return OpenRegular(path, O_RDWR, "open for writing");
  }
  absl::StatusOr<std::unique_ptr<File>> Create(const std::string& path) override {
    return OpenRegular(path, O_RDWR | O_CREAT | O_TRUNC, "create");
  }

  absl::Status Rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) {
      return ErrnoStatus(errno, from, "rename to " + to);
    }
    return absl::OkStatus();
  }

  absl::Status Remove(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) return ErrnoStatus(errno, path, "remove");
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<DirectoryEntry>> List(const std::string& directory) override {
    DIR* const dir = ::opendir(directory.c_str());
    if (dir == nullptr) return ErrnoStatus(errno, directory, "list");
    const std::unique_ptr<DIR, int (*)(DIR*)> closer(dir, ::closedir);
    std::vector<DirectoryEntry> out;
    for (;;) {
      errno = 0;
      const dirent* const entry = ::readdir(dir);
      if (entry == nullptr) {
        if (errno != 0) return ErrnoStatus(errno, directory, "list");
        break;
      }
      const std::string name = entry->d_name;
      if (name == "." || name == "..") continue;
      struct stat st;
      if (::fstatat(::dirfd(dir), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT) continue;  // removed after readdir()
        return ErrnoStatus(errno, directory + "/" + name, "stat");
      }
      const bool regular = S_ISREG(st.st_mode);
      out.push_back({name, regular ? static_cast<uint64_t>(st.st_size) : 0, regular});
    }
    std::sort(out.begin(), out.end(),
              [](const DirectoryEntry& a, const DirectoryEntry& b) { return a.name < b.name; });
    return out;
  }

  absl::Status CreateDirectory(const std::string& path) override {
    struct stat st;
    if (::stat(path.c_str(), &st) == 0) {
      if (!S_ISDIR(st.st_mode)) {
        return absl::InternalError(path + ": exists and is not a directory");
      }
      // A process may have died between mkdir and the sync. If this process may not read the
      // parent, another account made the directory.
      absl::Status synced = SyncDirectory(ParentOf(path));
      return absl::IsPermissionDenied(synced) ? absl::OkStatus() : synced;
    }
    if (errno != ENOENT) return ErrnoStatus(errno, path, "stat");
    const std::string parent = ParentOf(path);
    if (absl::Status s = CreateDirectory(parent); !s.ok()) return s;
    if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
      return ErrnoStatus(errno, path, "create directory");
    }
    return SyncDirectory(parent);
  }

  absl::Status SyncDirectory(const std::string& path) override {
    const int raw =
        RetryInterrupted([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
    if (raw < 0) return ErrnoStatus(errno, path, "open directory");
    const Descriptor fd(raw);
    if (::fsync(fd.get()) != 0) return ErrnoStatus(errno, path, "sync directory");
    return absl::OkStatus();
  }

  absl::StatusOr<bool> Exists(const std::string& path) override {
    struct stat st;
    if (::lstat(path.c_str(), &st) == 0) return true;
    if (errno == ENOENT) return false;
    return ErrnoStatus(errno, path, "stat");
  }

  absl::StatusOr<std::unique_ptr<FileLock>> Lock(const std::string& path) override {
    const int raw = RetryInterrupted([&] {
      return ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    });
    if (raw < 0) return ErrnoStatus(errno, path, "open");
    Descriptor fd(raw);
    if (RetryInterrupted([&] { return ::flock(fd.get(), LOCK_EX | LOCK_NB); }) != 0) {
      if (errno != EWOULDBLOCK) return ErrnoStatus(errno, path, "lock");
      char text[32] = {};
      const ssize_t n = ::pread(fd.get(), text, sizeof text - 1, 0);
      std::string holder(text, n > 0 ? static_cast<size_t>(n) : 0);
      holder.resize(std::min(holder.find_first_not_of("0123456789"), holder.size()));
      return absl::FailedPreconditionError(path + ": in use by process " +
                                           (holder.empty() ? "(unknown)" : holder));
    }
    // The id is only for the error message above. A full disk must not prevent a start.
    const std::string pid = std::to_string(::getpid()) + "\n";
    const bool written =
        ::ftruncate(fd.get(), 0) == 0 && ::pwrite(fd.get(), pid.data(), pid.size(), 0) > 0;
    (void)written;
    return std::make_unique<PosixFileLock>(std::move(fd));
  }

  absl::StatusOr<uint64_t> FreeBytes(const std::string& directory) override {
    struct statvfs st;
    if (RetryInterrupted([&] { return ::statvfs(directory.c_str(), &st); }) != 0) {
      return ErrnoStatus(errno, directory, "statvfs");
    }
    return static_cast<uint64_t>(st.f_bavail) * st.f_frsize;
  }

  absl::StatusOr<uint64_t> TotalBytes(const std::string& directory) override {
    struct statvfs st;
    if (RetryInterrupted([&] { return ::statvfs(directory.c_str(), &st); }) != 0) {
      return ErrnoStatus(errno, directory, "statvfs");
    }
    return static_cast<uint64_t>(st.f_blocks) * st.f_frsize;
  }
};

}  // namespace

FileSystem& PosixFileSystem() {
  static PosixFileSystemImpl file_system;
  return file_system;
}

}  // namespace dqueue::storage
