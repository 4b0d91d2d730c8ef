// Writes the text format of Prometheus (version 0.0.4).
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "node/node.h"

namespace dqueue::transport {

class Exposition {
 public:
  using Label = std::pair<std::string_view, std::string_view>;
  using Labels = std::initializer_list<Label>;

  enum class Type { kCounter, kGauge, kHistogram };
  // Begins a metric family; the following samples belong to it. Each name once.
  void Family(std::string_view name, Type type, std::string_view help);
  void Sample(uint64_t value, Labels labels = {});
  void Sample(double value, Labels labels = {});
  void Sample(const Histogram& histogram, Labels labels = {});

  std::string Take() { return std::move(text_); }

 private:
  void Begin(std::string_view suffix, Labels labels, std::string_view bound = {});

  std::string text_;
  std::string family_;
};

}  // namespace dqueue::transport
