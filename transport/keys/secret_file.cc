#include "transport/keys/secret_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "absl/cleanup/cleanup.h"

namespace dqueue::transport {
namespace {

absl::Status Errno() {
  const int error = errno;
  return error == ENOENT ? absl::NotFoundError(std::strerror(error))
                         : absl::UnavailableError(std::strerror(error));
}

// See systemd.exec(5), CREDENTIALS.
bool IsCredential(const std::string& path) {
  const char* directory = std::getenv("CREDENTIALS_DIRECTORY");
  return directory != nullptr && *directory == '/' &&
         path.starts_with(std::string(directory) + "/") && path.find("/../") == std::string::npos;
}

}  // namespace

absl::StatusOr<std::string> ReadSecretFile(const std::string& path, const SecretFileRules& rules) {
  // Where pipes are refused, opening a pipe without a writer must not wait.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | (rules.pipes ? 0 : O_NONBLOCK));
  if (fd < 0) return Errno();
  const absl::Cleanup closer = [fd] { close(fd); };
  struct stat info {};
  if (fstat(fd, &info) != 0) return Errno();
  if (!S_ISREG(info.st_mode) && !(rules.pipes && S_ISFIFO(info.st_mode))) {
    return absl::InvalidArgumentError("is not a file");
  }
  if (rules.secret && S_ISREG(info.st_mode) && (info.st_mode & 077) != 0 && !IsCredential(path)) {
    char mode[8];
    std::snprintf(mode, sizeof mode, "%04o", static_cast<unsigned>(info.st_mode & 07777));
    return absl::InvalidArgumentError(
        std::string("others than its owner have access to it (mode ") + mode + "); make it 0600");
  }
  std::string text(rules.bytes_max + 1, '\0');
  size_t size = 0;
  while (size < text.size()) {
    const ssize_t n = read(fd, text.data() + size, text.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Errno();
    if (n == 0) break;
    size += static_cast<size_t>(n);
  }
  if (size > rules.bytes_max) {
    // The size of a pipe is unknown.
    const std::string has = S_ISREG(info.st_mode) ? std::to_string(info.st_size)
                                                  : "more than " + std::to_string(rules.bytes_max);
    return absl::InvalidArgumentError("has " + has + " bytes, the limit is " +
                                      std::to_string(rules.bytes_max));
  }
  text.resize(size);
  return text;
}

}  // namespace dqueue::transport
