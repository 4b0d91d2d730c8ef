// The scripted traces on disk, in raft/testdata/.
#pragma once

#include <string>
#include <vector>

namespace dqueue::raft::test {

// Names of the files of `directory` that end in ".txt", sorted. Empty if there is none, or no such
// directory.
std::vector<std::string> TraceNames(const std::string& directory);
// Both throw std::runtime_error with the path and the reason.
std::string ReadTrace(const std::string& path);
void WriteTrace(const std::string& path, const std::string& text);

}  // namespace dqueue::raft::test
