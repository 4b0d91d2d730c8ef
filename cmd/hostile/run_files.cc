#include "cmd/hostile/run_files.h"

#include <filesystem>
#include <fstream>
#include <iterator>

namespace dqueue::cmd {

std::string ReadRunFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

void WriteKeyFile(const std::string& path, const std::string& key) {
  std::ofstream out(path, std::ios::binary);
  std::filesystem::permissions(
      path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  out << key << '\n';
}

}  // namespace dqueue::cmd
