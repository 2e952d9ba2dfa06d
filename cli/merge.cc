// duet merge: the results of the shards of a bulk run become its output.
#include "bulk/merge.h"

#include <absl/time/clock.h>

#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulk/label_studio_project.h"
#include "bulk/output.h"
#include "cli/commands.h"
#include "cli/input_files.h"
#include "cli/output_flags.h"
#include "cli/progress_report.h"
#include "cli/run_outcome.h"
#include "http_client/network.h"
#include "label_studio_api/requests.h"
#include "label_studio_api/site_options.h"
#include "serving/flags.h"
#include "serving/log.h"
#include "text/str_cat.h"

namespace cli {
namespace {

using text::StrCat;

struct Options {
  std::string results;
  OutputFlags output;
  std::string masks = "rle";
  label_studio_api::SiteOptions site;
  std::string ca_certificates;
  int patience_s = 3600;
  bool accept_failures = false;
  bool json = false;
};

// The project that the output names; null if it names none.
absl::StatusOr<std::unique_ptr<bulk::LabelStudioProject>> FindProject(
    const Options& options, std::shared_ptr<http_client::Network> network) {
  const std::string& out = options.output.out;
  if (!out.starts_with(bulk::kProjectScheme)) return nullptr;
  const std::string id = out.substr(bulk::kProjectScheme.size());
  if (!label_studio_api::IsProjectId(id)) {
    return absl::InvalidArgumentError(
        StrCat("--out=", out, ": needed: the number of a project, as label-studio:7"));
  }
  absl::StatusOr<label_studio_api::LabelStudioSite> site = label_studio_api::ReadSite(options.site);
  if (!site.ok()) return site.status();
  return bulk::LabelStudioProject::Make(*std::move(site), id, /*view=*/0, std::move(network));
}

absl::Status Merge(const Options& options) {
  if (options.results.empty()) {
    return absl::InvalidArgumentError("no RESULTS; needed: duet merge RESULTS --out=OUT");
  }
  if (absl::Status status = CheckOut(options.output); !status.ok()) return status;
  serving::SetLogLevel("error");  // as in prelabel.cc
  const auto network = http_client::Network::Make({.ca_certificates = options.ca_certificates});
  if (!network.ok()) return network.status();
  const auto project = FindProject(options, *network);
  if (!project.ok()) return project.status();
  absl::StatusOr<std::string> label_config = ReadText(options.output.label_config);
  if (!label_config.ok()) return label_config.status();
  bulk::MergeOptions merge;
  merge.results = options.results;
  merge.network = *network;
  merge.output = {.out = options.output.out,
                  .polygons = options.masks == "polygons",
                  .image_prefix = options.output.image_prefix,
                  .project = project->get(),
                  .patience = {.lasts = absl::Seconds(options.patience_s)}};
  merge.format =
      bulk::FindOutputFormat(*project != nullptr ? "label-studio" : options.output.format);
  merge.label_config = *std::move(label_config);
  if (!merge.format->needs_label_config && !merge.label_config.empty()) {
    return absl::InvalidArgumentError(
        StrCat("--format=", options.output.format, " has no use for --label_config"));
  }
  ProgressReport report(ChooseProgressForm(options.json), options.json ? std::cout : std::cerr,
                        absl::Now());
  const absl::StatusOr<bulk::RunResult> result = bulk::MergeShards(merge, report);
  report.Finish();
  if (!result.ok()) return result.status();
  PrintOutcome(options.output.out, options.json, *result);
  return options.accept_failures ? absl::OkStatus() : FailuresAsStatus(*result);
}

}  // namespace

absl::Status RunMerge(int argc, const char* const* argv) {
  Options options;
  serving::FlagTable flags(
      "duet merge RESULTS",
      "Makes the output of a run that several machines did in shards (duet prelabel --shard), from "
      "their results in a folder or below s3://bucket/prefix: the very bytes that one machine "
      "would have written. Interrupted, the same command goes on. Exit code 0: all done; 1: some "
      "images failed; 2: nothing could be done.\n\nExample: duet merge results --out=found.json");
  AddOutputFlags(&options.output, &flags);
  flags.Add("masks", &options.masks,
            "If the shards have any: rle, the very pixels; polygons, outlines without holes.",
            serving::OneOf({"rle", "polygons"}));
  flags.Add("label_studio_url", &options.site.url,
            "Of the Label Studio whose project gets the predictions, for --out=label-studio:ID.");
  label_studio_api::AddFlags(&options.site, &flags);
  flags.Add(
      "ca_certificates", &options.ca_certificates,
      "A file of certificates (PEM) that a store or a Label Studio is trusted by, besides the "
      "system's.");
  flags.Add("patience_s", &options.patience_s,
            "How many seconds to wait for a store, a disk or a Label Studio that is away or full.",
            serving::InRange(0, 100'000'000));
  flags.Add(
      "accept_failures", &options.accept_failures,
      "Ends with 0 although images failed: for whoever takes any other exit code for a failure "
      "of the command.");
  flags.Add("json", &options.json, "Progress and result as JSON, one object a line, on stdout.");
  std::vector<const char*> rest = {argv[0]};
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (i == 1 && !argument.starts_with('-')) {
      options.results = argument;
    } else {
      rest.push_back(argv[i]);
    }
  }
  return ParseAndRun(flags, static_cast<int>(rest.size()), rest.data(),
                     [&] { return Merge(options); });
}

}  // namespace cli
