// duet prelabel: a folder, a list or a COCO file of images through the detector and the segmenter.
#include <boost/json/parse.hpp>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backends/tls_options.h"
#include "bulk/label_studio_project.h"
#include "bulk/prelabel_run.h"
#include "cli/bulk_options.h"
#include "cli/commands.h"
#include "cli/input_files.h"
#include "serving/flags.h"
#include "text/str_cat.h"

namespace cli {
namespace {

using text::StrCat;

struct Options {
  BulkOptions bulk;
  std::string out;
  std::string format = "coco";
  std::string masks = "none";
  std::string label_config;
  std::string image_prefix;
  std::string settings;
  double score_threshold = 0.5;
  int slice = 0;
  double overlap = prelabel::Slicing().overlap;
  std::string detector;
  std::string detector_checkpoint;
  bool retry_failed = false;
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
  AddImagesFlag(&options->bulk, flags);
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
  flags->Add("segmenter", &options->bulk.segmenter, "Likewise, for masks.");
  flags->Add("detector_checkpoint", &options->detector_checkpoint,
             "Without --detector: the weights of a detector that is started for this run and ends "
             "with it.");
  flags->Add("segmenter_checkpoint", &options->bulk.segmenter_checkpoint,
             "Likewise, if masks are wanted.");
  backends::AddFlags(&options->bulk.tls, flags);
  AddProjectFlags(&options->bulk, flags);
}

void AddFlags(Options* options, serving::FlagTable* flags) {
  AddOutputFlags(options, flags);
  AddInputFlags(options, flags);
  AddServiceFlags(options, flags);
  flags->Add("retry_failed", &options->retry_failed,
             "If all images are done, try those again that failed, and write the output anew.");
  AddRunFlags(&options->bulk, flags);
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

// `source` outlives the result.
absl::StatusOr<bulk::RunOptions> ToRun(const Options& options, const BulkSource& source) {
  bulk::LabelStudioProject* const project = source.project.get();
  absl::StatusOr<bulk::RunOptions> common = ToRunOptions(options.bulk, source);
  if (!common.ok()) return common.status();
  bulk::RunOptions run = *std::move(common);
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
  absl::StatusOr<prelabel::Settings> settings = ReadSettings(options);
  if (!settings.ok()) return settings.status();
  run.settings = *std::move(settings);
  run.detector = options.detector;
  run.detector_checkpoint = options.detector_checkpoint;
  run.retry_failed = options.retry_failed;
  return run;
}

absl::Status PrintPlan(const Options& options, const bulk::RunOptions& run) {
  const absl::StatusOr<bulk::Plan> plan = bulk::PlanRun(run);
  if (!plan.ok()) return plan.status();
  const std::uint64_t images = plan->listing.images;
  if (options.bulk.json) {
    std::cout << "{\"event\":\"plan\",\"images\":" << images << ",\"done\":" << plan->done << "}\n";
  } else {
    std::cout << options.out << ": " << images << " images, " << plan->done << " done, "
              << images - plan->done << " to do\n";
  }
  return absl::OkStatus();
}

void PrintResult(const Options& options, const bulk::RunResult& result) {
  const bulk::Totals& totals = result.totals;
  if (options.bulk.json) {
    std::cout << "{\"event\":\"done\",\"images\":" << totals.images
              << ",\"objects\":" << totals.objects << ",\"failed\":" << totals.failed()
              << ",\"done_before\":" << result.before << "}\n";
    return;
  }
  PrintFindings(result.findings);
  PrintLeftOut(result);
  std::cout << options.out << ": " << totals.images - totals.failed() << " images, "
            << totals.objects << " objects";
  if (result.before > 0) std::cout << "; " << result.before << " were done before";
  std::cout << "\n";
}

absl::Status Prelabel(const Options& options) {
  if (options.bulk.sources.empty()) {
    return absl::InvalidArgumentError(
        "no SOURCE; needed: duet prelabel SOURCE... --out=OUT, and the sources before the flags");
  }
  const absl::StatusOr<BulkSource> source = OpenSource(options.bulk, options.out);
  if (!source.ok()) return source.status();
  const absl::StatusOr<bulk::RunOptions> run = ToRun(options, *source);
  if (!run.ok()) return run.status();
  if (options.bulk.plan) return PrintPlan(options, *run);
  return RunAndReport(options.bulk, *run,
                      [&](const bulk::RunResult& result) { PrintResult(options, result); });
}

}  // namespace

absl::Status RunPrelabel(int argc, const char* const* argv) {
  Options options;
  serving::FlagTable flags("duet prelabel SOURCE...",
                           StrCat("Finds the objects of very many images: ", kSourcesHelp));
  AddFlags(&options, &flags);
  return ParseSourcesAndRun(flags, &options.bulk.sources, argc, argv,
                            [&] { return Prelabel(options); });
}

}  // namespace cli
