// Samples of a /metrics page.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dqueue::cmd {

struct Sample {
  std::string name;
  std::map<std::string, std::string> labels;
  double value = 0;
};

// Reads the text format of Prometheus. Lines that are no samples are skipped.
std::vector<Sample> ParseMetrics(std::string_view page);

// The value of the first sample of this name; nullopt: there is none.
std::optional<double> ValueOf(const std::vector<Sample>& samples, std::string_view name);

// Of a histogram with the label `label`: for each of its values the upper bound of the highest
// bucket that has a count. Infinity if that is the last one.
std::map<std::string, double> HighestBuckets(const std::vector<Sample>& samples,
                                             const std::string& histogram,
                                             const std::string& label);

}  // namespace dqueue::cmd
