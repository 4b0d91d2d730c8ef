#include "cmd/dqueue/first_keys.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "absl/strings/ascii.h"
#include "transport/keys/secret_file.h"
#include "transport/keys/secret_key.h"
#include "transport/listeners/listen_socket.h"

namespace dqueue::cmd {
namespace {

absl::Status FileError(const std::string& path, const std::string& what) {
  return absl::UnavailableError(path + ": " + what + ": " + std::strerror(errno));
}

// Prints to standard output instead of the log, because a log would keep the secret.
void Print(const transport::FirstKey& key) {
  std::printf("Created %s key: %s (owner: %s)\n",
              std::string(transport::KeyTypeName(key.type)).c_str(), key.secret.c_str(),
              key.owner_id.c_str());
  std::fflush(stdout);
}

// The journal keeps standard output, and others may read it. JOURNAL_STREAM: systemd.exec(5).
bool PrintsToJournal() {
  const char* journal = std::getenv("JOURNAL_STREAM");
  struct stat out;
  return journal != nullptr && fstat(STDOUT_FILENO, &out) == 0 &&
         journal == std::to_string(out.st_dev) + ":" + std::to_string(out.st_ino);
}

}  // namespace

absl::StatusOr<std::string> ReadAdminKeyFile(const std::string& path) {
  const absl::StatusOr<std::string> text = transport::ReadSecretFile(path, {});
  if (!text.ok()) {
    return absl::Status(text.status().code(), path + ": " + std::string(text.status().message()));
  }
  const auto key =
      transport::ParseSecretKey(std::string(absl::StripTrailingAsciiWhitespace(*text)));
  if (!key || transport::KeyTypeOf(*key) != v1::KEY_TYPE_ADMIN) {
    return absl::InvalidArgumentError(path +
                                      " does not hold an admin key (dqueue-cli key generate "
                                      "makes one)");
  }
  return key->secret;
}

absl::Status WriteAdminKeyFile(const std::string& path, const std::string& secret) {
  const transport::UniqueFd file(
      open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) {
    if (errno == EEXIST) return absl::AlreadyExistsError(path + " exists already");
    return FileError(path, "create");
  }
  const std::string line = secret + "\n";
  if (write(file.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size()) ||
      fsync(file.get()) != 0) {
    const absl::Status status = FileError(path, "write");
    unlink(path.c_str());
    return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<transport::FirstKeys> PlanFirstKeys(const NodeConfig& config) {
  transport::FirstKeys first;
  if (!config.admin_key_file.empty()) {
    transport::FirstKey admin{
        .name = "first admin key", .owner_id = "admin", .type = v1::KEY_TYPE_ADMIN, .secret = ""};
    absl::StatusOr<std::string> secret = ReadAdminKeyFile(config.admin_key_file);
    if (secret.ok()) {
      admin.secret = *std::move(secret);
      first.always = true;
    } else if (!absl::IsNotFound(secret.status())) {
      return secret.status();
    } else {
      first.before = [path = config.admin_key_file](const transport::FirstKey& key) {
        return WriteAdminKeyFile(path, key.secret);
      };
    }
    first.made = [path = config.admin_key_file](const transport::FirstKey&) {
      spdlog::info("audit: the admin key of {} is valid now", path);
    };
    first.keys.push_back(std::move(admin));
    return first;
  }
  // Trial keys are for a single node only. A cluster needs --admin-key-file.
  if (config.node.members.size() > 1) return first;
  if (PrintsToJournal()) {
    spdlog::info(
        "no API keys are made, because the journal would keep these trial keys; --admin-key-file "
        "makes an admin key");
    return first;
  }
  for (const v1::KeyType type : {v1::KEY_TYPE_CLIENT, v1::KEY_TYPE_WORKER, v1::KEY_TYPE_ADMIN}) {
    const std::string owner = "dev-" + std::string(transport::KeyTypeName(type));
    first.keys.push_back({.name = owner, .owner_id = owner, .type = type, .secret = ""});
  }
  first.made = Print;
  return first;
}

}  // namespace dqueue::cmd
