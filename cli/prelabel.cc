// duet prelabel: a folder, a list or a COCO file of images through the detector and the segmenter.
#include <absl/time/clock.h>

#include <boost/json/parse.hpp>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backends/tls_options.h"
#include "bulk/everything_work.h"
#include "bulk/label_studio_project.h"
#include "bulk/patience.h"
#include "bulk/prelabel_run.h"
#include "bulk/prepared_manifest.h"
#include "bulk/run_kind.h"
#include "bulk/shard_run.h"
#include "cli/bulk_options.h"
#include "cli/commands.h"
#include "cli/input_files.h"
#include "cli/output_flags.h"
#include "cli/progress_report.h"
#include "cli/run_outcome.h"
#include "serving/flags.h"
#include "text/str_cat.h"

namespace cli {
namespace {

using text::StrCat;

struct Options {
  BulkOptions bulk;
  OutputFlags output;
  std::string masks = "none";
  std::string mask_generator;
  std::string manifest;
  std::string shard;
  std::string work;
  std::string settings;
  double score_threshold = 0.5;
  int slice = 0;
  double overlap = prelabel::Slicing().overlap;
  std::string detector;
  std::string detector_checkpoint;
  std::string kernel_plan;
  bool retry_failed = false;
};

// A run that several machines share.
void AddShardFlags(Options* options, serving::FlagTable* flags) {
  flags->Add("manifest", &options->manifest,
             "Lists the sources into this file, whose name ends in .manifest, or s3://bucket/key, "
             "and does nothing else: the source of a run that is done in shards.");
  flags->Add(
      "shard", &options->shard,
      "Of a manifest as the source: I/N, the I-th of N equal parts, counted from 0; job/N "
      "takes the number from JOB_COMPLETION_INDEX, as an Indexed Job of Kubernetes sets it. "
      "--out, a folder or s3://bucket/prefix, gets the shard's results, which duet merge puts "
      "together. An image that failed is a result, too. Exit code 1: the same command may do "
      "better another time; 2: "
      "somebody has to change something.");
  flags->Add("work", &options->work,
             "With --shard: the folder that has what it needs to be resumed. Empty: --out's, and "
             "for a bucket the current one.");
}

// What is looked at, and for what.
void AddInputFlags(Options* options, serving::FlagTable* flags) {
  AddImagesFlag(&options->bulk, flags);
  flags->Add("settings", &options->settings,
             "A JSON object, or a file with one: the settings of a gateway's profile, such as "
             "'{\"score_threshold\": 0.3, \"label_map\": {\"person\": \"Person\"}}'.");
  flags->Add("score_threshold", &options->score_threshold,
             "Objects with a higher score are kept. The settings' own wins.",
             serving::InRange(0.0, 1.0));
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
  flags->Add("kernel_plan", &options->kernel_plan,
             "The file with the choices of kernels of services that are started, as theirs. Runs "
             "that have the same plan and kind of CPU find the same to the last bit. Empty: one "
             "of this run's own.");
  backends::AddFlags(&options->bulk.tls, flags);
  AddProjectFlags(&options->bulk, flags);
}

void AddFlags(Options* options, serving::FlagTable* flags) {
  AddOutputFlags(&options->output, flags);
  flags->Add(
      "masks", &options->masks,
      "none; rle: the very pixels; polygons: outlines without holes. The detector's own if it "
      "makes any, else the segmenter's. everything, everything-polygons: of all that is in the "
      "image, by the segmenter's automatic mask generator, as objects of the class 'object'; no "
      "detector takes part. For label-studio the label config decides which regions are made.",
      serving::OneOf({"none", "rle", "polygons", "everything", "everything-polygons"}));
  flags->Add("mask_generator", &options->mask_generator,
             "With --masks=everything: a JSON object, or a file with one: parameters of "
             "SamAutomaticMaskGenerator, such as '{\"points_per_side\": 16, "
             "\"pred_iou_thresh\": 0.8}'. Empty: SAM's own.");
  AddInputFlags(options, flags);
  AddShardFlags(options, flags);
  AddServiceFlags(options, flags);
  flags->Add("retry_failed", &options->retry_failed,
             "If all images are done, try those again that failed, and write the output anew.");
  AddRunFlags(&options->bulk, flags);
}

bool IsEverything(const Options& options) { return options.masks.starts_with("everything"); }

// JSON that a flag has, or the file that it names.
absl::StatusOr<std::string> ReadJson(const std::string& flag) {
  return flag.starts_with('{') ? flag : ReadText(flag);
}

// The automatic mask generator's part of a run.
absl::Status SetMaskGenerator(const Options& options, bulk::RunOptions* run) {
  if (!IsEverything(options)) {
    return options.mask_generator.empty()
               ? absl::OkStatus()
               : absl::InvalidArgumentError("--mask_generator is given without --masks=everything");
  }
  if (run->settings.slice || run->settings.score_threshold != Options().score_threshold) {
    return absl::InvalidArgumentError(
        StrCat("--masks=", options.masks, " has no use for ",
               run->settings.slice ? "slices" : "a score_threshold",
               ", which is the detector's; needed: --mask_generator with ",
               run->settings.slice ? "crop_n_layers" : "pred_iou_thresh"));
  }
  const absl::StatusOr<std::string> json = ReadJson(options.mask_generator);
  if (!json.ok()) return json.status();
  absl::StatusOr<std::string> canonical = bulk::CanonicalMaskGenerator(*json);
  if (!canonical.ok()) {
    return absl::InvalidArgumentError(StrCat("--mask_generator: ", canonical.status().message()));
  }
  run->kind = &bulk::FindEverything();
  run->mask_generator = *std::move(canonical);
  return absl::OkStatus();
}

absl::StatusOr<prelabel::Settings> ReadSettings(const Options& options) {
  prelabel::Settings settings{.score_threshold = options.score_threshold};
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
  const absl::StatusOr<std::string> text = ReadJson(options.settings);
  if (!text.ok()) return text.status();
  boost::json::error_code error;
  const boost::json::value value = boost::json::parse(*text, error);
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
  run.output = {.out = options.output.out,
                .polygons = options.masks.ends_with("polygons"),
                .image_prefix = options.output.image_prefix};
  const bool into_project = options.output.out.starts_with(bulk::kProjectScheme);
  if (into_project) run.output.project = project;
  run.format = bulk::FindOutputFormat(into_project ? "label-studio" : options.output.format);
  run.masks = options.masks != "none";
  run.kind = &bulk::FindObjects();
  const bool has_config = !options.output.label_config.empty() || project != nullptr;
  if (run.format->needs_label_config ? !has_config : !options.output.label_config.empty()) {
    return absl::InvalidArgumentError(
        run.format->needs_label_config
            ? StrCat("--format=", options.output.format, " needs --label_config")
            : StrCat("--format=", options.output.format, " has no use for --label_config"));
  }
  absl::StatusOr<std::string> label_config = ReadText(options.output.label_config);
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
  run.services.detector = options.detector;
  run.services.detector_checkpoint = options.detector_checkpoint;
  run.services.kernel_plan = options.kernel_plan;
  run.retry_failed = options.retry_failed;
  if (absl::Status status = SetMaskGenerator(options, &run); !status.ok()) return status;
  return run;
}

// `out`: what it is called.
absl::Status PrintPlan(const Options& options, const std::string& out,
                       const absl::StatusOr<bulk::Plan>& plan) {
  if (!plan.ok()) return plan.status();
  const std::uint64_t images = plan->listing.images;
  if (options.bulk.json) {
    std::cout << "{\"event\":\"plan\",\"images\":" << images << ",\"done\":" << plan->done << "}\n";
  } else {
    std::cout << out << ": " << images << " images, " << plan->done << " done, "
              << images - plan->done << " to do\n";
  }
  return absl::OkStatus();
}

// Lists the sources into a manifest.
absl::Status WriteManifest(const Options& options) {
  if (!options.manifest.ends_with(bulk::kManifestEnding)) {
    return absl::InvalidArgumentError(StrCat(
        "--manifest=", options.manifest, ": needed: a name that ends in ", bulk::kManifestEnding));
  }
  const absl::StatusOr<BulkSource> source = OpenSource(options.bulk, /*out=*/"");
  if (!source.ok()) return source.status();
  const absl::StatusOr<bulk::RunOptions> run = ToRunOptions(options.bulk, *source);
  if (!run.ok()) return run.status();
  ProgressReport report(ChooseProgressForm(options.bulk.json), std::cerr, absl::Now());
  bulk::ListingOptions sources = run->listing;
  sources.patience = bulk::PatienceOf(run->pipeline.patience, report);
  const absl::StatusOr<bulk::Listing> listing =
      bulk::PreparedManifest::Write(sources, options.manifest);
  if (!listing.ok()) return listing.status();
  PrintLeftOut(listing->left_out, listing->closed_folders, listing->first_closed);
  if (options.bulk.json) {
    std::cout << "{\"event\":\"manifest\",\"images\":" << listing->images << "}\n";
  } else {
    std::cout << options.manifest << ": " << listing->images << " images\n";
  }
  return absl::OkStatus();
}

// For whoever starts shards again and again: what may be gone the next time ends with 1, what
// somebody has to change with 2, and images that failed are a result like others.
absl::Status ShardStatus(const absl::Status& status) {
  const bool to_be_changed = absl::IsInvalidArgument(status) || absl::IsNotFound(status) ||
                             absl::IsPermissionDenied(status) || absl::IsUnauthenticated(status) ||
                             absl::IsFailedPrecondition(status) || absl::IsDataLoss(status);
  return status.ok() || to_be_changed ? status : absl::AbortedError(status.message());
}

// What a shard needs, and flags that it has no use for.
absl::Status CheckShardFlags(const Options& options) {
  if (options.shard.empty()) return absl::OkStatus();
  const std::string& source = options.bulk.sources.front();
  if (options.bulk.sources.size() > 1 || !source.ends_with(bulk::kManifestEnding)) {
    return absl::InvalidArgumentError(
        StrCat("--shard=", options.shard, ": ", bulk::Shown(source),
               " is no manifest; needed: one alone, as --manifest=FILE", bulk::kManifestEnding,
               " makes it"));
  }
  if (options.output.out.starts_with(bulk::kProjectScheme)) {
    return absl::InvalidArgumentError(
        StrCat("--out=", options.output.out, ": a shard's results go into a folder or ",
               "s3://bucket/prefix; duet merge brings all of them into a project"));
  }
  if (options.retry_failed) {
    return absl::InvalidArgumentError(
        "--retry_failed with --shard: needed: a merge of all shards, and then duet prelabel with "
        "the same manifest, the merge's --out and --retry_failed, without --shard");
  }
  return absl::OkStatus();
}

absl::Status RunShard(const Options& options, bulk::RunOptions run) {
  const std::string& out = options.output.out;
  const absl::StatusOr<bulk::Shard> shard =
      bulk::ParseShard(options.shard, std::getenv("JOB_COMPLETION_INDEX"));
  if (!shard.ok()) return shard.status();
  run.listing.shard = *shard;
  const std::string name = bulk::AddressBelow(out, bulk::ShardFileName(*shard));
  const std::string work = !options.work.empty()    ? options.work
                           : bulk::IsS3Address(out) ? "."
                                                    : out;
  if (options.bulk.plan) {
    return ShardStatus(PrintPlan(options, name, bulk::PlanShard(std::move(run), out, work)));
  }
  ProgressReport report(ChooseProgressForm(options.bulk.json),
                        options.bulk.json ? std::cout : std::cerr, absl::Now());
  const absl::StatusOr<bulk::RunResult> result = bulk::RunShard(std::move(run), out, work, report);
  report.Finish();
  if (!result.ok()) return ShardStatus(result.status());
  PrintOutcome(name, options.bulk.json, *result);
  return absl::OkStatus();
}

absl::Status Prelabel(const Options& options) {
  if (options.bulk.sources.empty()) {
    return absl::InvalidArgumentError(
        "no SOURCE; needed: duet prelabel SOURCE... --out=OUT, and the sources before the flags");
  }
  if (!options.manifest.empty()) return ShardStatus(WriteManifest(options));
  if (absl::Status status = CheckOut(options.output); !status.ok()) return status;
  if (absl::Status status = CheckShardFlags(options); !status.ok()) return status;
  const bool is_shard = !options.shard.empty();
  const absl::StatusOr<BulkSource> source = OpenSource(options.bulk, options.output.out);
  if (!source.ok()) return is_shard ? ShardStatus(source.status()) : source.status();
  const absl::StatusOr<bulk::RunOptions> run = ToRun(options, *source);
  if (!run.ok()) return run.status();
  if (is_shard) return RunShard(options, *run);
  if (options.bulk.plan) return PrintPlan(options, options.output.out, bulk::PlanRun(*run));
  return RunAndReport(options.bulk, *run, [&](const bulk::RunResult& result) {
    PrintOutcome(options.output.out, options.bulk.json, result);
  });
}

}  // namespace

absl::Status RunPrelabel(int argc, const char* const* argv) {
  Options options;
  serving::FlagTable flags("duet prelabel SOURCE...",
                           StrCat("Finds the objects of very many images: ", kSourcesHelp,
                                  "\n\nExample: duet prelabel photos --out=found.json --masks=rle "
                                  "--detector=localhost:50051 --segmenter=localhost:50052"));
  AddFlags(&options, &flags);
  return ParseSourcesAndRun(flags, &options.bulk.sources, argc, argv,
                            [&] { return Prelabel(options); });
}

}  // namespace cli
