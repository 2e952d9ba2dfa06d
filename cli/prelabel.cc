// duet prelabel: a folder, a list or a COCO file of images through the detector and the segmenter.
#include <absl/time/clock.h>

#include <boost/json/parse.hpp>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backends/tls_options.h"
#include "bulk/label_studio_project.h"
#include "bulk/prelabel_run.h"
#include "cli/commands.h"
#include "cli/input_files.h"
#include "cli/progress_report.h"
#include "image_fetch/source_options.h"
#include "label_studio_api/requests.h"
#include "label_studio_api/site_options.h"
#include "serving/flags.h"
#include "serving/log.h"
#include "text/str_cat.h"

namespace cli {
namespace {

using text::StrCat;

constexpr std::size_t kMessageRest = std::size_t{1} << 20;  // of a message beside its image

struct Options {
  std::vector<std::string> sources;
  std::string out;
  std::string format = "coco";
  std::string masks = "none";
  std::string label_config;
  std::string image_prefix;
  std::string images;
  std::string settings;
  double score_threshold = 0.5;
  int slice = 0;
  double overlap = prelabel::Slicing().overlap;
  std::string detector;
  std::string segmenter;
  std::string detector_checkpoint;
  std::string segmenter_checkpoint;
  backends::TlsOptions tls;
  label_studio_api::SiteOptions site;
  int view = 0;
  image_fetch::SourceOptions images_from;
  int in_flight = 16;
  int max_failures = -1;
  int patience_s = 3600;
  int max_message_mb = 64;
  bool retry_failed = false;
  bool plan = false;
  bool json = false;
};

std::vector<std::string> FormatNames() {
  std::vector<std::string> names;
  for (const bulk::OutputFormat& format : bulk::OutputFormats()) names.emplace_back(format.name);
  return names;
}

// What comes out of a run.
void AddOutputFlags(Options* options, serving::FlagTable* flags) {
  flags->Required("out", &options->out,
                  "The file, or for formats of many files the folder, that is written when all is "
                  "done; or label-studio:ID, the source's project, which gets predictions. What a "
                  "run needs to be resumed is kept beside it, in OUT.journal.");
  flags->Add(
      "format", &options->format,
      "coco: boxes, masks and scores, and of a COCO source its ids; label-studio: tasks with "
      "predictions, to be imported; yolo, voc, dota (four corners): a text an image, in a "
      "folder; png: masks as images of class numbers and of object numbers.",
      serving::OneOf(FormatNames()));
  flags->Add("masks", &options->masks,
             "none; rle: the very pixels; polygons: outlines without holes. The detector's own if "
             "it makes any, else the segmenter's. For label-studio the label config decides.",
             serving::OneOf({"none", "rle", "polygons"}));
  flags->Add("label_config", &options->label_config,
             "For label-studio: the project's label config, an XML file.");
  flags->Add("image_prefix", &options->image_prefix,
             "For label-studio: put before each image's path, which is percent-encoded then, such "
             "as '/data/local-files/?d=FOLDER/'.");
}

// What is looked at, and for what.
void AddInputFlags(Options* options, serving::FlagTable* flags) {
  flags->Add(
      "images", &options->images,
      "The folder that relative paths in a list or a COCO file are below; empty: the current "
      "one, and for a COCO file its own.");
  flags->Add("settings", &options->settings,
             "A JSON object, or a file with one: the settings of a gateway's profile, such as "
             "'{\"score_threshold\": 0.3, \"label_map\": {\"person\": \"Person\"}}'.");
  flags->Add("score_threshold", &options->score_threshold,
             "Objects with a higher score are kept. The settings' own wins.");
  flags->Add(
      "slice", &options->slice,
      "Side of overlapping tiles, pixels, in which small objects of large images are looked "
      "for, as SAHI does; at least 64. 0: images are looked at as a whole. The settings' own "
      "wins.",
      serving::InRange(0, 1'000'000));
  flags->Add("overlap", &options->overlap,
             "With --slice: by which share of their side tiles overlap, 0 to 0.9.");
}

// Whom it is asked of.
void AddServiceFlags(Options* options, serving::FlagTable* flags) {
  flags->Add("detector", &options->detector,
             "host:port of the detector; several replicas are separated by commas.");
  flags->Add("segmenter", &options->segmenter, "Likewise, for masks.");
  flags->Add("detector_checkpoint", &options->detector_checkpoint,
             "Without --detector: the weights of a detector that is started for this run and ends "
             "with it.");
  flags->Add("segmenter_checkpoint", &options->segmenter_checkpoint,
             "Likewise, if masks are wanted.");
  backends::AddFlags(&options->tls, flags);
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

void AddFlags(Options* options, serving::FlagTable* flags) {
  AddOutputFlags(options, flags);
  AddInputFlags(options, flags);
  AddServiceFlags(options, flags);
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
  flags->Add("retry_failed", &options->retry_failed,
             "If all images are done, try those again that failed, and write the output anew.");
  flags->Add("plan", &options->plan, "Says what there is to do, and does nothing.");
  flags->Add("json", &options->json, "Progress and result as JSON, one object a line, on stdout.");
}

absl::StatusOr<prelabel::Settings> ReadSettings(const Options& options) {
  prelabel::Settings settings{.score_threshold = options.score_threshold};
  if (!(settings.score_threshold >= 0 && settings.score_threshold <= 1)) {
    return absl::InvalidArgumentError(
        StrCat("--score_threshold=", options.score_threshold, ": must be from 0 to 1"));
  }
  if (options.slice > 0) {
    // Checked as the settings' own.
    const boost::json::object slice = {
        {"slice", {{"tile", options.slice}, {"overlap", options.overlap}}}};
    auto sliced = prelabel::Refine(settings, slice, /*strict=*/true);
    if (!sliced.ok()) {
      return absl::InvalidArgumentError(StrCat("--slice, --overlap: ", sliced.status().message()));
    }
    settings = *std::move(sliced);
  } else if (options.overlap != prelabel::Slicing().overlap) {
    return absl::InvalidArgumentError("--overlap is given without --slice");
  }
  if (options.settings.empty()) return settings;
  std::string text = options.settings;
  if (!text.starts_with('{')) {
    absl::StatusOr<std::string> read = ReadText(text);
    if (!read.ok()) return read.status();
    text = *std::move(read);
  }
  boost::json::error_code error;
  const boost::json::value value = boost::json::parse(text, error);
  if (error || !value.is_object()) {
    return absl::InvalidArgumentError("--settings: not a JSON object");
  }
  auto refined = prelabel::Refine(settings, value.get_object(), /*strict=*/true);
  if (!refined.ok()) {
    return absl::InvalidArgumentError(StrCat("--settings: ", refined.status().message()));
  }
  if (refined->score != prelabel::Score::kMean) {
    return absl::InvalidArgumentError(
        "--settings: score=uncertainty needs objects below the threshold, which a run doesn't "
        "keep; needed: score=mean");
  }
  return refined;
}

// The project that the source or the output names; null if neither does.
absl::StatusOr<std::unique_ptr<bulk::LabelStudioProject>> FindProject(
    const Options& options, std::shared_ptr<http_client::Network> network) {
  const std::string& source = options.sources.front();
  const bool from = source.starts_with(bulk::kProjectScheme);
  const bool into = options.out.starts_with(bulk::kProjectScheme);
  if (!from && !into) return nullptr;
  if (into && source != options.out) {
    return absl::InvalidArgumentError(
        StrCat("--out=", options.out,
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

// `project` outlives the result; null: none is named.
absl::StatusOr<bulk::RunOptions> ToRunOptions(const Options& options,
                                              bulk::LabelStudioProject* project) {
  bulk::RunOptions run;
  run.listing = {.sources = options.sources,
                 .images = options.images,
                 .standard_input = &std::cin,
                 .project = project};
  run.output = {.out = options.out,
                .polygons = options.masks == "polygons",
                .image_prefix = options.image_prefix};
  const bool into_project = options.out.starts_with(bulk::kProjectScheme);
  if (into_project) run.output.project = project;
  run.format = bulk::FindOutputFormat(into_project ? "label-studio" : options.format);
  run.masks = options.masks != "none";
  const bool has_config = !options.label_config.empty() || project != nullptr;
  if (run.format->needs_label_config ? !has_config : !options.label_config.empty()) {
    return absl::InvalidArgumentError(
        run.format->needs_label_config
            ? StrCat("--format=", options.format, " needs --label_config")
            : StrCat("--format=", options.format, " has no use for --label_config"));
  }
  absl::StatusOr<std::string> label_config = ReadText(options.label_config);
  if (!label_config.ok()) return label_config.status();
  run.label_config = *std::move(label_config);
  if (run.format->needs_label_config && run.label_config.empty()) {
    absl::StatusOr<std::string> of_project = project->LabelConfig({});
    if (!of_project.ok()) return of_project.status();
    run.label_config = *std::move(of_project);
  }
  run.images = options.images_from;
  absl::StatusOr<prelabel::Settings> settings = ReadSettings(options);
  if (!settings.ok()) return settings.status();
  run.settings = *std::move(settings);
  run.detector = options.detector;
  run.segmenter = options.segmenter;
  run.detector_checkpoint = options.detector_checkpoint;
  run.segmenter_checkpoint = options.segmenter_checkpoint;
  run.grpc.max_message_bytes = options.max_message_mb << 20;
  if (absl::Status status = backends::LoadTls(options.tls, &run.grpc); !status.ok()) return status;
  run.max_image_bytes = (std::int64_t{options.max_message_mb} << 20) - std::int64_t{kMessageRest};
  run.retry_failed = options.retry_failed;
  run.pipeline.in_flight = options.in_flight;
  run.pipeline.patience = absl::Seconds(options.patience_s);
  if (options.max_failures >= 0) {
    run.pipeline.max_failures = static_cast<std::uint64_t>(options.max_failures);
  }
  return run;
}

absl::Status PrintPlan(const Options& options, const bulk::RunOptions& run) {
  const absl::StatusOr<bulk::Plan> plan = bulk::PlanPrelabel(run);
  if (!plan.ok()) return plan.status();
  const std::uint64_t images = plan->listing.images;
  if (options.json) {
    std::cout << "{\"event\":\"plan\",\"images\":" << images << ",\"done\":" << plan->done << "}\n";
  } else {
    std::cout << options.out << ": " << images << " images, " << plan->done << " done, "
              << images - plan->done << " to do\n";
  }
  return absl::OkStatus();
}

void PrintResult(const Options& options, const bulk::RunResult& result) {
  const bulk::Totals& totals = result.totals;
  if (options.json) {
    std::cout << "{\"event\":\"done\",\"images\":" << totals.images
              << ",\"objects\":" << totals.objects << ",\"failed\":" << totals.failed()
              << ",\"done_before\":" << result.before << "}\n";
    return;
  }
  PrintFindings(result.findings);
  if (result.left_out > 0) {
    std::cerr << result.left_out << " files whose names aren't those of images, left out\n";
  }
  if (result.closed_folders > 0) {
    std::cerr << result.closed_folders << " folders that may not be read, left out; the first: "
              << bulk::Shown(result.first_closed) << "\n";
  }
  std::cout << options.out << ": " << totals.images - totals.failed() << " images, "
            << totals.objects << " objects";
  if (result.before > 0) std::cout << "; " << result.before << " were done before";
  std::cout << "\n";
}

absl::Status Prelabel(const Options& options) {
  if (options.sources.empty()) {
    return absl::InvalidArgumentError(
        "no SOURCE; needed: duet prelabel SOURCE... --out=OUT, and the sources before the flags");
  }
  // The clients' log lines would stand between those of the progress, which says the same.
  serving::SetLogLevel("error");
  const auto network = image_fetch::MakeNetwork(options.images_from);
  if (!network.ok()) return network.status();
  const auto project = FindProject(options, *network);
  if (!project.ok()) return project.status();
  absl::StatusOr<bulk::RunOptions> run = ToRunOptions(options, project->get());
  if (!run.ok()) return run.status();
  run->network = *network;
  run->listing.network = *network;
  if (options.plan) return PrintPlan(options, *run);
  const ProgressForm form = ChooseProgressForm(options.json);
  ProgressReport report(form, options.json ? std::cout : std::cerr, absl::Now());
  const absl::StatusOr<bulk::RunResult> result = bulk::RunPrelabel(*run, report);
  report.Finish();
  if (!result.ok()) return result.status();
  PrintResult(options, *result);
  if (result->failures.empty()) return absl::OkStatus();
  const bulk::Totals& totals = result->totals;
  const std::string sentence = StrCat(totals.failed(), " of ", totals.images, " images failed; ",
                                      result->failures, " lists them");
  return totals.failed() < totals.images ? absl::AbortedError(sentence)
                                         : absl::FailedPreconditionError(sentence);
}

}  // namespace

absl::Status RunPrelabel(int argc, const char* const* argv) {
  Options options;
  serving::FlagTable flags(
      "duet prelabel SOURCE...",
      "Finds the objects of very many images: of a folder, of a Label Studio project "
      "(label-studio:7), of a bucket (s3://bucket/prefix), of a pattern "
      "('photos/**/*.jpg'), of a list (FILE.txt, or - for the standard input), "
      "of a COCO file (FILE.json), or of files and addresses. Interrupted, the "
      "same command goes on. Exit code 0: all done; 1: some images failed; 2: "
      "nothing could be done.");
  AddFlags(&options, &flags);
  // The sources stand before the flags.
  std::vector<const char*> rest = {argv[0]};
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (rest.size() == 1 && (argument == "-" || !argument.starts_with('-'))) {
      options.sources.emplace_back(argument);
    } else {
      rest.push_back(argv[i]);
    }
  }
  return ParseAndRun(flags, static_cast<int>(rest.size()), rest.data(),
                     [&] { return Prelabel(options); });
}

int PrelabelExitCode(const absl::Status& status) {
  if (status.ok()) return 0;
  // Some images failed, or more than were allowed; or a signal stopped the run, which the same
  // command resumes.
  const bool something_was_done =
      absl::IsAborted(status) || absl::IsResourceExhausted(status) || absl::IsCancelled(status);
  return something_was_done ? 1 : 2;
}

}  // namespace cli
