#include "otlp/options.h"

#include <absl/status/status.h>
#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <utility>
#include <vector>

#include "http_client/url.h"
#include "serving/log.h"
#include "serving/request_context.h"
#include "serving/version.h"
#include "text/str_cat.h"
#include "text/url.h"
#include "text/utf8.h"
#include "tracing/span.h"

namespace otlp {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

std::string HostName() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "";
  return text::ToUtf8(name.data());
}

// "key1=value1,key2=value%202", as OpenTelemetry's variables have it.
absl::StatusOr<Pairs> ReadPairs(const char* name, const std::string& value) {
  Pairs pairs;
  for (const absl::string_view part : absl::StrSplit(value, ',', absl::SkipWhitespace())) {
    const std::pair<absl::string_view, absl::string_view> halves =
        absl::StrSplit(part, absl::MaxSplits('=', 1));
    const absl::string_view key = absl::StripAsciiWhitespace(halves.first);
    if (key.empty() || !absl::StrContains(part, '=')) {
      // Not what was found: it may be a key for the collector.
      return absl::InvalidArgumentError(
          absl::StrCat(name, " must be KEY=VALUE,KEY=VALUE; part ", pairs.size() + 1, " isn't"));
    }
    const std::string decoded = text::PercentDecode(
        text::StdView(absl::StripAsciiWhitespace(halves.second)), /*plus_is_space=*/false);
    if (decoded.find_first_of("\r\n") != decoded.npos) {
      return absl::InvalidArgumentError(absl::StrCat(name, " has a line's end in ", key));
    }
    pairs.emplace_back(text::ToUtf8(text::StdView(key)), text::ToUtf8(decoded));
  }
  return pairs;
}

void Put(Attributes& attributes, std::string key, tracing::AttributeValue value) {
  const auto same = std::find_if(attributes.begin(), attributes.end(),
                                 [&](const auto& attribute) { return attribute.first == key; });
  if (same != attributes.end()) {
    same->second = std::move(value);
  } else {
    attributes.emplace_back(std::move(key), std::move(value));
  }
}

}  // namespace

void AddFlags(Options* options, serving::FlagTable* flags) {
  flags->Add("otlp_endpoint", &options->endpoint,
             "Collector of OpenTelemetry that gets traces by OTLP over HTTP, e.g. "
             "http://collector:4318; spans are POSTed to /v1/traces below it. Empty: no traces.");
  flags->Add("otlp_sample", &options->sample,
             "How many of the traces that begin here are recorded, 0 to 1. A caller's traceparent "
             "decides for its own.",
             serving::InRange(0.0, 1.0));
}

absl::StatusOr<ExporterOptions> ReadOptions(
    const Options& options, const std::string& service,
    const std::function<std::string(const char*)>& variable) {
  if (!http_client::ParseUrl(options.endpoint).ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--otlp_endpoint must be an http or https URL such as http://collector:4318, "
                     "not '",
                     http_client::RedactUri(options.endpoint), "'"));
  }
  ExporterOptions read{.endpoint = options.endpoint, .ratio = options.sample};
  // Last ones win: what the operator says of the process counts more than what it finds out.
  Put(read.resource, "service.name", service);
  Put(read.resource, "service.version", std::string(serving::Version()));
  Put(read.resource, "service.instance.id", serving::RequestContext().request_id());
  Put(read.resource, "host.name", HostName());
  Put(read.resource, "process.pid", std::int64_t{getpid()});
  auto attributes = ReadPairs("OTEL_RESOURCE_ATTRIBUTES", variable("OTEL_RESOURCE_ATTRIBUTES"));
  if (!attributes.ok()) return attributes.status();
  for (auto& [key, value] : *attributes) Put(read.resource, std::move(key), std::move(value));
  if (std::string name = variable("OTEL_SERVICE_NAME"); !name.empty()) {
    Put(read.resource, "service.name", text::ToUtf8(name));
  }
  const auto headers =
      ReadPairs("OTEL_EXPORTER_OTLP_HEADERS", variable("OTEL_EXPORTER_OTLP_HEADERS"));
  if (!headers.ok()) return headers.status();
  for (const auto& [name, value] : *headers) read.headers.push_back(name + ": " + value);
  return read;
}

Tracing::Tracing(std::shared_ptr<Exporter> exporter) : exporter_(std::move(exporter)) {
  tracing::SetTracer(exporter_);
}

Tracing::~Tracing() {
  if (exporter_ != nullptr) tracing::SetTracer(nullptr);
}

absl::StatusOr<Tracing> StartTracing(const Options& options, const std::string& service,
                                     serving::Metrics& metrics) {
  if (options.endpoint.empty()) return Tracing();
  auto read = ReadOptions(options, service, [](const char* name) -> std::string {
    const char* const value = std::getenv(name);
    return value == nullptr ? "" : value;
  });
  if (!read.ok()) return read.status();
  serving::LogLine("traces")
      .Str("endpoint", http_client::Origin(options.endpoint))
      .Num("sample", options.sample);
  return Tracing(std::make_shared<Exporter>(*std::move(read), metrics));
}

}  // namespace otlp
