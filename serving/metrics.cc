#include "serving/metrics.h"

#include <absl/strings/str_split.h>
#include <prometheus/text_serializer.h>

#include <stdexcept>

#include "serving/process_metrics.h"

namespace serving {
namespace {

prometheus::Labels LabelsOf(const char* name, const char* label_names,
                            std::initializer_list<std::string_view> values) {
  const std::vector<std::string> names = absl::StrSplit(label_names, ',', absl::SkipEmpty());
  if (names.size() != values.size()) {
    throw std::logic_error(std::string(name) + ": wrong number of label values");
  }
  prometheus::Labels labels;
  auto value = values.begin();
  for (const std::string& label : names) labels[label] = std::string(*value++);
  return labels;
}

}  // namespace

Metrics::Metrics() : registry_(std::make_shared<prometheus::Registry>()) {
  collectables_ = {registry_, std::make_shared<ProcessMetrics>()};
}

// A registry returns the family that it has under a name, a family the metric that it has under
// these labels.
prometheus::Counter& Metrics::Get(const CounterSpec& spec,
                                  std::initializer_list<std::string_view> label_values) {
  return prometheus::BuildCounter()
      .Name(spec.name)
      .Help(spec.help)
      .Register(*registry_)
      .Add(LabelsOf(spec.name, spec.labels, label_values));
}

prometheus::Gauge& Metrics::Get(const GaugeSpec& spec,
                                std::initializer_list<std::string_view> label_values) {
  return prometheus::BuildGauge()
      .Name(spec.name)
      .Help(spec.help)
      .Register(*registry_)
      .Add(LabelsOf(spec.name, spec.labels, label_values));
}

prometheus::Histogram& Metrics::Get(const HistogramSpec& spec,
                                    std::initializer_list<std::string_view> label_values) {
  return prometheus::BuildHistogram()
      .Name(spec.name)
      .Help(spec.help)
      .Register(*registry_)
      .Add(LabelsOf(spec.name, spec.labels, label_values),
           prometheus::Histogram::BucketBoundaries(spec.buckets.begin(), spec.buckets.end()));
}

std::string Metrics::Text() const {
  std::vector<prometheus::MetricFamily> families;
  for (const auto& collectable : collectables_) {
    for (prometheus::MetricFamily& family : collectable->Collect()) {
      families.push_back(std::move(family));
    }
  }
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace serving
