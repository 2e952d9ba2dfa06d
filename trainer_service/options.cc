#include "trainer_service/options.h"

#include <absl/strings/str_split.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <tuple>
#include <utility>

#include "serving/program_beside.h"
#include "text/str_cat.h"
#include "trainer_service/child/child_process.h"
#include "trainer_service/work/publish.h"

namespace trainer_service {
namespace {

using text::StrCat;

// Less isn't enough for LibTorch to start.
constexpr int kLeastMemoryMb = 1024;

// What the trainer says itself.
constexpr std::array<std::string_view, 12> kOwnFlags = {
    "data",      "images", "label_config", "validation", "validation_images",
    "val_share", "from",   "out",          "report_of",  "threads",
    "json",      "resume"};

// "" if these are flags of duet-train's that may be chosen.
std::string CheckTrainFlags(const std::vector<std::string>& flags) {
  for (const std::string& flag : flags) {
    std::string_view name = flag;
    if (!name.starts_with("--")) return "must be flags of duet-train's with commas between them";
    name = name.substr(2, name.find('=') - 2);
    if (name.starts_with("no")) name.remove_prefix(2);
    if (std::find(kOwnFlags.begin(), kOwnFlags.end(), name) != kOwnFlags.end()) {
      return StrCat("must not hold --", name, ", which the trainer says itself");
    }
  }
  return "";
}

void AddLabelStudioFlags(Options* options, serving::FlagTable* flags) {
  flags->Required("label_studio_url", &options->label_studio.url,
                  "The Label Studio whose projects are trained on.");
  label_studio_api::AddFlags(&options->label_studio, flags);
  image_fetch::AddFlags(&options->images, flags);
  flags->Add("max_image_mb", &options->max_image_mb, "Largest image file, MiB.",
             serving::InRange(1, 2000));
  flags->Add("max_image_megapixels", &options->max_image_megapixels,
             "Largest image, millions of pixels.", serving::InRange(1, 2000));
}

}  // namespace

void AddFlags(Options* options, serving::FlagTable* flags) {
  using serving::InRange;
  flags->Required("work_dir", &options->work_dir,
                  "The folder of the jobs and of the copies of annotations and images; made if it "
                  "is missing. A restart goes on with what is in it.");
  flags->Required("model_root", &options->model_root,
                  "The folder that trained models are left in: MODEL_ROOT/detector/project-7/1, "
                  "MODEL_ROOT/segmenter/project-7/1.");
  flags->Required("checkpoint", &options->checkpoint,
                  "The detector's --checkpoint, from which a project's first training begins: an "
                  "RTMDet or RTMDet-Ins.");
  flags->Add("segmenter_checkpoint", &options->segmenter_checkpoint,
             "The segmenter's --checkpoint, from which the first training of a project's segmenter "
             "begins: SAM, MobileSAM or SAM 2. Empty: no segmenter is trained.");
  flags->Add("train_segmenters", &options->train_segmenters,
             "--notrain_segmenters: detectors alone are trained, as for an HQ-SAM, which can't be "
             "tuned.");
  AddLabelStudioFlags(options, flags);
  flags->Add("duet_train", &options->duet_train,
             "The program that trains. Empty: the duet-train beside this one.");
  flags->Add("train_flags", &options->train_flags,
             "Flags of duet-train's for all trainings of detectors, with commas between them: "
             "--epochs=40,--input_size=640.",
             CheckTrainFlags);
  flags->Add("segmenter_train_flags", &options->segmenter_train_flags,
             "The same of `duet-train segmenter`, for trainings of segmenters.", CheckTrainFlags);
  flags->Add("val_share", &options->val_share,
             "The share of each class's new images that models are compared on.",
             [](double v) { return v >= 0 && v < 1 ? "" : "must be from 0 to less than 1"; });
  flags->Add("threads", &options->threads,
             "Threads that train; 0: as many as the process has CPUs. They only get what other "
             "processes leave.",
             InRange(0, 1024));
  flags->Add(
      "max_memory_mb", &options->max_memory_mb,
      "Memory that a training may take, MiB; 0: three quarters of the machine's or the "
      "container's.",
      [](int v) { return v == 0 || v >= kLeastMemoryMb ? "" : "must be 0, or 1024 or more"; });
  flags->Add("queue_size", &options->queue_size,
             "Trainings that may wait; more are refused with RESOURCE_EXHAUSTED.",
             InRange(1, 10'000));
  flags->Add("min_interval_s", &options->min_interval_s,
             "From the end of a project's training to its next one at least; earlier ones are "
             "refused with RESOURCE_EXHAUSTED.",
             InRange(0, 30 * 86'400));
  flags->Add("retry_s", &options->retry_s,
             "For how long a job tries again what may pass: Label Studio is away or refuses the "
             "token, the disk is full.",
             InRange(0, 86'400));
  flags->Add("keep_jobs", &options->keep_jobs, "Jobs that have ended to remember.",
             InRange(1, 100'000));
  flags->Add("keep_versions", &options->keep_versions,
             "Newest versions of a model to keep, besides the one that serves, the one before it, "
             "and their parents.",
             InRange(1, 100'000));
  AddFlags(&options->server, flags);
  otlp::AddFlags(&options->otlp, flags);
  AddFlags(&options->process, flags);
}

absl::Status Check(Options& options) {
  if (options.duet_train.empty()) options.duet_train = serving::ProgramBeside("duet-train");
  if (access(options.duet_train.c_str(), X_OK) != 0) {
    return absl::NotFoundError(StrCat("--duet_train: there is no program ", options.duet_train));
  }
  const model_store::ModelStore store(options.model_root);
  for (const auto& [flag, path, kind] :
       {std::tuple("--checkpoint", options.checkpoint, model_store::Kind::kDetector),
        std::tuple("--segmenter_checkpoint", options.segmenter_checkpoint,
                   model_store::Kind::kSegmenter)}) {
    if (kind == model_store::Kind::kSegmenter && !TrainsSegmenters(options)) continue;
    if (access(path.c_str(), R_OK) != 0) {
      return absl::NotFoundError(
          StrCat(flag, "=", path, ": there is no such file that can be read"));
    }
    absl::Status may = CheckCanPublish(store, kind, model_store::ProjectName(1));
    if (!may.ok()) return may;
  }
  return absl::OkStatus();
}

JobQueueOptions QueueOptions(const Options& options) {
  return {.capacity = options.queue_size,
          .keep_jobs = options.keep_jobs,
          .min_interval = absl::Seconds(options.min_interval_s)};
}

bool TrainsSegmenters(const Options& options) {
  return options.train_segmenters && !options.segmenter_checkpoint.empty();
}

PipelineOptions WorkOptions(const Options& options) {
  const std::uint64_t memory =
      options.max_memory_mb > 0
          ? std::uint64_t{static_cast<unsigned>(options.max_memory_mb)} << 20
          : std::max(MemoryBudget() / 4 * 3, std::uint64_t{kLeastMemoryMb} << 20);
  return {
      .detector = {.checkpoint = options.checkpoint, .train_flags = options.train_flags},
      .segmenter = {.checkpoint = TrainsSegmenters(options) ? options.segmenter_checkpoint : "",
                    .train_flags = options.segmenter_train_flags},
      .child = {.program = options.duet_train, .threads = options.threads, .max_memory = memory},
      .patience = absl::Seconds(options.retry_s),
      .keep_versions = static_cast<std::uint64_t>(options.keep_versions)};
}

image_fetch::ImageFetcher::Options FetcherOptions(const Options& options,
                                                  std::shared_ptr<http_client::Network> network) {
  auto fetcher = image_fetch::FetcherOptions(options.images, std::move(network));
  fetcher.max_bytes = std::int64_t{options.max_image_mb} << 20;
  fetcher.max_pixels = std::int64_t{options.max_image_megapixels} * 1'000'000;
  fetcher.cache_bytes = 0;  // each image is asked for once, and then in a file
  return fetcher;
}

}  // namespace trainer_service
