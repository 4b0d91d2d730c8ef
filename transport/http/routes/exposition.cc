#include "transport/http/routes/exposition.h"

#include <charconv>

namespace dqueue::transport {
namespace {

void AppendNumber(double value, std::string* out) {
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, value);
  out->append(digits, end.ptr);
}

// Escapes backslash and newline, and quotes in labels.
void AppendEscaped(std::string_view text, bool label, std::string* out) {
  for (const char c : text) {
    if (c == '\\') {
      *out += "\\\\";
    } else if (c == '\n') {
      *out += "\\n";
    } else if (c == '"' && label) {
      *out += "\\\"";
    } else {
      *out += c;
    }
  }
}

const char* NameOf(Exposition::Type type) {
  switch (type) {
    case Exposition::Type::kCounter:
      return "counter";
    case Exposition::Type::kGauge:
      return "gauge";
    case Exposition::Type::kHistogram:
      return "histogram";
  }
  return "untyped";
}

}  // namespace

void Exposition::Family(std::string_view name, Type type, std::string_view help) {
  family_ = name;
  text_ += "# HELP " + family_ + " ";
  AppendEscaped(help, /*label=*/false, &text_);
  text_ += "\n# TYPE " + family_ + " " + NameOf(type) + "\n";
}

void Exposition::Begin(std::string_view suffix, Labels labels, std::string_view bound) {
  text_ += family_;
  text_ += suffix;
  if (labels.size() > 0 || !bound.empty()) {
    char before = '{';
    const auto append = [&](std::string_view name, std::string_view value) {
      text_ += std::exchange(before, ',');
      text_ += name;
      text_ += "=\"";
      AppendEscaped(value, /*label=*/true, &text_);
      text_ += '"';
    };
    for (const auto& [name, value] : labels) append(name, value);
    if (!bound.empty()) append("le", bound);
    text_ += '}';
  }
  text_ += ' ';
}

void Exposition::Sample(uint64_t value, Labels labels) {
  Begin("", labels);
  text_ += std::to_string(value) + "\n";
}

void Exposition::Sample(double value, Labels labels) {
  Begin("", labels);
  AppendNumber(value, &text_);
  text_ += '\n';
}

void Exposition::Sample(const Histogram& histogram, Labels labels) {
  uint64_t so_far = 0;
  for (size_t i = 0; i < Histogram::kBounds.size(); ++i) {
    so_far += histogram.count_in(i);
    std::string bound;
    AppendNumber(Histogram::kBounds[i], &bound);
    Begin("_bucket", labels, bound);
    text_ += std::to_string(so_far) + "\n";
  }
  Begin("_bucket", labels, "+Inf");
  text_ += std::to_string(histogram.count()) + "\n";
  Begin("_sum", labels);
  AppendNumber(histogram.sum_seconds(), &text_);
  text_ += '\n';
  Begin("_count", labels);
  text_ += std::to_string(histogram.count()) + "\n";
}

}  // namespace dqueue::transport
