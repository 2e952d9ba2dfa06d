#include "serving/metrics.h"

#include <absl/strings/str_split.h>
#include <prometheus/text_serializer.h>

#include <stdexcept>

#include "serving/process_metrics.h"
#include "text/utf8.h"

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
  for (const std::string& label : names) labels[label] = text::ToUtf8(*value++);
  return labels;
}

}  // namespace

Metrics::Metrics() : registry_(std::make_shared<prometheus::Registry>()) {
  collectables_ = {registry_, std::make_shared<ProcessMetrics>()};
}

template <typename Metric, typename Make>
Metric& Metrics::FindOr(const char* name, std::initializer_list<std::string_view> label_values,
                        const Make& make) {
  thread_local std::string key;
  key = name;
  for (const std::string_view value : label_values) {
    key += '\0';
    key += value;
  }
  const std::lock_guard lock(mutex_);
  if (const auto found = known_.find(key); found != known_.end()) {
    return *static_cast<Metric*>(found->second);
  }
  Metric& made = make();
  known_.emplace(key, &made);
  return made;
}

prometheus::Counter& Metrics::Get(const CounterSpec& spec,
                                  std::initializer_list<std::string_view> label_values) {
  return FindOr<prometheus::Counter>(spec.name, label_values, [&]() -> prometheus::Counter& {
    return prometheus::BuildCounter()
        .Name(spec.name)
        .Help(spec.help)
        .Register(*registry_)
        .Add(LabelsOf(spec.name, spec.labels, label_values));
  });
}

prometheus::Gauge& Metrics::Get(const GaugeSpec& spec,
                                std::initializer_list<std::string_view> label_values) {
  return FindOr<prometheus::Gauge>(spec.name, label_values, [&]() -> prometheus::Gauge& {
    return prometheus::BuildGauge()
        .Name(spec.name)
        .Help(spec.help)
        .Register(*registry_)
        .Add(LabelsOf(spec.name, spec.labels, label_values));
  });
}

prometheus::Histogram& Metrics::Get(const HistogramSpec& spec,
                                    std::initializer_list<std::string_view> label_values) {
  return FindOr<prometheus::Histogram>(spec.name, label_values, [&]() -> prometheus::Histogram& {
    return prometheus::BuildHistogram()
        .Name(spec.name)
        .Help(spec.help)
        .Register(*registry_)
        .Add(LabelsOf(spec.name, spec.labels, label_values),
             prometheus::Histogram::BucketBoundaries(spec.buckets.begin(), spec.buckets.end()));
  });
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
