#include "cmd/hostile/node_metrics.h"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <set>

namespace dqueue::cmd {
namespace {

// Reads a="b",c="d"}; values have the escapes \\, \" and \n. False: malformed.
bool ReadLabels(std::string_view* text, std::map<std::string, std::string>* labels) {
  while (!text->empty() && text->front() != '}') {
    const size_t equal = text->find("=\"");
    if (equal == std::string_view::npos) return false;
    std::string& value = (*labels)[std::string(text->substr(0, equal))];
    text->remove_prefix(equal + 2);
    while (!text->empty() && text->front() != '"') {
      if (text->front() == '\\' && text->size() > 1) text->remove_prefix(1);
      value += text->front();
      text->remove_prefix(1);
    }
    if (text->empty()) return false;
    text->remove_prefix(1);
    if (!text->empty() && text->front() == ',') text->remove_prefix(1);
  }
  if (text->empty()) return false;
  text->remove_prefix(1);
  return true;
}

bool ReadSample(std::string_view line, Sample* sample) {
  if (line.empty() || line.front() == '#') return false;
  const size_t end = line.find_first_of("{ ");
  if (end == std::string_view::npos) return false;
  sample->name = line.substr(0, end);
  line.remove_prefix(end);
  if (line.front() == '{') {
    line.remove_prefix(1);
    if (!ReadLabels(&line, &sample->labels)) return false;
  }
  const std::string number(line);
  char* after = nullptr;
  sample->value = std::strtod(number.c_str(), &after);
  return after != number.c_str();
}

}  // namespace

std::vector<Sample> ParseMetrics(std::string_view page) {
  std::vector<Sample> samples;
  while (!page.empty()) {
    const std::string_view line = page.substr(0, page.find('\n'));
    page.remove_prefix(std::min(page.size(), line.size() + 1));
    Sample sample;
    if (ReadSample(line, &sample)) samples.push_back(std::move(sample));
  }
  return samples;
}

std::optional<double> ValueOf(const std::vector<Sample>& samples, std::string_view name) {
  for (const Sample& sample : samples) {
    if (sample.name == name) return sample.value;
  }
  return std::nullopt;
}

std::map<std::string, double> HighestBuckets(const std::vector<Sample>& samples,
                                             const std::string& histogram,
                                             const std::string& label) {
  // Buckets are cumulative: the highest that has a count of its own is the first with the total.
  std::map<std::string, std::map<double, double>> buckets;
  for (const Sample& sample : samples) {
    if (sample.name != histogram + "_bucket") continue;
    const auto kind = sample.labels.find(label);
    const auto bound = sample.labels.find("le");
    if (kind == sample.labels.end() || bound == sample.labels.end()) continue;
    buckets[kind->second][std::strtod(bound->second.c_str(), nullptr)] = sample.value;
  }
  std::map<std::string, double> highest;
  for (const auto& [kind, counts] : buckets) {
    const double total = counts.rbegin()->second;
    if (total == 0) continue;
    for (const auto& [bound, count] : counts) {
      if (count < total) continue;
      highest[kind] = bound;
      break;
    }
  }
  return highest;
}

}  // namespace dqueue::cmd
