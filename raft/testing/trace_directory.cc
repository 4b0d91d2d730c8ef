#include "raft/testing/trace_directory.h"

#include <dirent.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace dqueue::raft::test {
namespace {

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};

[[noreturn]] void Fail(const std::string& path) {
  throw std::runtime_error(absl::StrCat(path, ": ", std::strerror(errno)));
}

}  // namespace

std::vector<std::string> TraceNames(const std::string& directory) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, CloseDirectory> open(opendir(directory.c_str()));
  if (open == nullptr) return names;
  while (const dirent* entry = readdir(open.get())) {
    if (absl::EndsWith(entry->d_name, ".txt")) names.emplace_back(entry->d_name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string ReadTrace(const std::string& path) {
  const std::unique_ptr<std::FILE, CloseFile> file(std::fopen(path.c_str(), "rb"));
  if (file == nullptr) Fail(path);
  std::string text;
  char buffer[4096];
  while (const size_t count = std::fread(buffer, 1, sizeof(buffer), file.get())) {
    text.append(buffer, count);
  }
  if (std::ferror(file.get()) != 0) Fail(path);
  return text;
}

void WriteTrace(const std::string& path, const std::string& text) {
  std::unique_ptr<std::FILE, CloseFile> file(std::fopen(path.c_str(), "wb"));
  if (file == nullptr) Fail(path);
  if (std::fwrite(text.data(), 1, text.size(), file.get()) != text.size()) Fail(path);
  if (std::fclose(file.release()) != 0) Fail(path);
}

}  // namespace dqueue::raft::test
