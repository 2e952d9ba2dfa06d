#include "cli/bulk_options.h"

#include <absl/time/clock.h>
#include <absl/time/time.h>

#include <iostream>
#include <memory>
#include <utility>

#include "bulk/patience.h"
#include "cli/commands.h"
#include "cli/progress_report.h"
#include "cli/run_outcome.h"
#include "label_studio_api/requests.h"
#include "serving/log.h"
#include "text/str_cat.h"

namespace cli {
namespace {

using text::StrCat;

constexpr std::size_t kMessageRest = std::size_t{1} << 20;  // of a message beside its image

// Waits for a store that is away.
absl::StatusOr<std::unique_ptr<bulk::PreparedManifest>> OpenManifest(
    const std::string& address, const BulkOptions& options,
    const std::shared_ptr<http_client::Network>& network) {
  const bulk::Patience patience = {.lasts = absl::Seconds(options.patience_s),
                                   .on_wait = [](const absl::Status& status) {
                                     std::cerr << "waiting: " << status.message() << std::endl;
                                   }};
  absl::StatusOr<std::unique_ptr<bulk::PreparedManifest>> manifest;
  (void)bulk::Patiently(patience, [&] {
    manifest = bulk::PreparedManifest::Open(address, network);
    return manifest.status();
  });
  return manifest;
}

// The project that the source or the output names; null if neither does.
absl::StatusOr<std::unique_ptr<bulk::LabelStudioProject>> FindProject(
    const BulkOptions& options, const std::string& source, const std::string& out,
    std::shared_ptr<http_client::Network> network) {
  const bool from = source.starts_with(bulk::kProjectScheme);
  const bool into = out.starts_with(bulk::kProjectScheme);
  if (!from && !into) return nullptr;
  if (into && source != out) {
    return absl::InvalidArgumentError(
        StrCat("--out=", out,
               ": predictions belong to tasks; needed: the same project as "
               "the source"));
  }
  const std::string id = source.substr(bulk::kProjectScheme.size());
  if (!label_studio_api::IsProjectId(id)) {
    return absl::InvalidArgumentError(
        StrCat(source, ": needed: the number of a project, as label-studio:7"));
  }
  absl::StatusOr<label_studio_api::LabelStudioSite> site = label_studio_api::ReadSite(options.site);
  if (!site.ok()) return site.status();
  return bulk::LabelStudioProject::Make(*std::move(site), id, options.view, std::move(network));
}

}  // namespace

void AddImagesFlag(BulkOptions* options, serving::FlagTable* flags) {
  flags->Add(
      "images", &options->images,
      "The folder that relative paths in a list or a COCO file are below; empty: the current "
      "one, and for a COCO file its own.");
}

void AddProjectFlags(BulkOptions* options, serving::FlagTable* flags) {
  flags->Add("label_studio_url", &options->site.url,
             "Of the Label Studio whose project is a source or an output, label-studio:ID.");
  label_studio_api::AddFlags(&options->site, flags);
  flags->Add(
      "view", &options->view,
      "The number of the data manager's view (tab=... in its address) whose tasks are taken; "
      "0: all of the project's are.",
      serving::InRange(0, 2'000'000'000));
  image_fetch::AddFlags(&options->images_from, flags);
}

void AddRunFlags(BulkOptions* options, serving::FlagTable* flags) {
  flags->Add("in_flight", &options->in_flight,
             "Images at a time. Eight a replica of the slower service keep it busy.",
             serving::InRange(1, 4096));
  flags->Add("max_failures", &options->max_failures,
             "Stops when more images have failed; -1: never.", serving::InRange(-1, 1'000'000'000));
  flags->Add("patience_s", &options->patience_s,
             "How many seconds to wait for a service, a source or a disk that is away or full, "
             "before the run stops. The same command resumes it.",
             serving::InRange(0, 100'000'000));
  flags->Add("max_message_mb", &options->max_message_mb,
             "Of the services' messages, and with that of images.", serving::InRange(1, 1024));
  flags->Add("plan", &options->plan, "Says what there is to do, and does nothing.");
  flags->Add("json", &options->json, "Progress and result as JSON, one object a line, on stdout.");
}

absl::Status ParseSourcesAndRun(serving::FlagTable& flags, std::vector<std::string>* sources,
                                int argc, const char* const* argv,
                                absl::FunctionRef<absl::Status()> run) {
  // The clients' log lines would stand between those of the progress, which says the same.
  serving::SetLogLevel("error");
  std::vector<const char*> rest = {argv[0]};
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (rest.size() == 1 && (argument == "-" || !argument.starts_with('-'))) {
      sources->emplace_back(argument);
    } else {
      rest.push_back(argv[i]);
    }
  }
  return ParseAndRun(flags, static_cast<int>(rest.size()), rest.data(), run);
}

absl::StatusOr<BulkSource> OpenSource(const BulkOptions& options, const std::string& out) {
  auto network = image_fetch::MakeNetwork(options.images_from);
  if (!network.ok()) return network.status();
  BulkSource source{.network = *std::move(network)};
  std::string first = options.sources.front();
  if (options.sources.size() == 1 && first.ends_with(bulk::kManifestEnding)) {
    auto manifest = OpenManifest(first, options, source.network);
    if (!manifest.ok()) return manifest.status();
    source.manifest = *std::move(manifest);
    // Images of a project's tasks are asked for as those of the project itself.
    first = source.manifest->sources().front();
  }
  auto project = FindProject(options, first, out, source.network);
  if (!project.ok()) return project.status();
  source.project = *std::move(project);
  return source;
}

absl::StatusOr<bulk::RunOptions> ToRunOptions(const BulkOptions& options,
                                              const BulkSource& source) {
  bulk::RunOptions run;
  run.listing = {.sources = options.sources,
                 .images = options.images,
                 .standard_input = &std::cin,
                 .prepared = source.manifest.get(),
                 .project = source.project.get()};
  run.listing.network = source.network;
  run.network = source.network;
  run.images = options.images_from;
  run.services.segmenter = options.segmenter;
  run.services.segmenter_checkpoint = options.segmenter_checkpoint;
  run.services.grpc.max_message_bytes = options.max_message_mb << 20;
  absl::Status status = backends::LoadTls(options.tls, &run.services.grpc);
  if (!status.ok()) return status;
  run.max_image_bytes = (std::int64_t{options.max_message_mb} << 20) - std::int64_t{kMessageRest};
  run.pipeline.in_flight = options.in_flight;
  run.pipeline.patience = absl::Seconds(options.patience_s);
  if (options.max_failures >= 0) {
    run.pipeline.max_failures = static_cast<std::uint64_t>(options.max_failures);
  }
  return run;
}

absl::Status RunAndReport(const BulkOptions& options, const bulk::RunOptions& run,
                          absl::FunctionRef<void(const bulk::RunResult&)> print) {
  const ProgressForm form = ChooseProgressForm(options.json);
  ProgressReport report(form, options.json ? std::cout : std::cerr, absl::Now());
  const absl::StatusOr<bulk::RunResult> result = bulk::Run(run, report);
  report.Finish();
  if (!result.ok()) return result.status();
  print(*result);
  return FailuresAsStatus(*result);
}

int BulkExitCode(const absl::Status& status) {
  if (status.ok()) return 0;
  // Some images failed, or more than were allowed; or a signal stopped the run, which the same
  // command resumes.
  const bool something_was_done =
      absl::IsAborted(status) || absl::IsResourceExhausted(status) || absl::IsCancelled(status);
  return something_was_done ? 1 : 2;
}

}  // namespace cli
