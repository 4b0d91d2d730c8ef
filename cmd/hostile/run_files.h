// Files in the directory of a run.
#pragma once

#include <string>

namespace dqueue::cmd {

// The content; empty if the file cannot be read.
std::string ReadRunFile(const std::string& path);
// Writes a file that only its owner can access.
void WriteKeyFile(const std::string& path, const std::string& key);

}  // namespace dqueue::cmd
