#include "trainer/segmenter/compare_segmenters.h"

#include <absl/status/status.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <cstddef>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "dataset/annotations_reader.h"
#include "dataset/findings.h"
#include "files/mapped_file.h"
#include "segmenter_service/inference/served_model.h"
#include "trainer/gate/compare_prompts.h"
#include "trainer/samples/dataset_source.h"
#include "trainer/segmenter/click_scores.h"
#include "trainer/segmenter/kept_embeddings.h"
#include "trainer/segmenter/tunable_segmenter.h"
#include "trainer/segmenter/tuning_images.h"
#include "vision/mask.h"

namespace trainer {
namespace {

absl::Status Naming(const std::string& name, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(name, ": ", status.message()));
}

absl::Status Check(const ComparedFiles& files, const CompareOptions& options) {
  if (files.annotations.empty()) return absl::InvalidArgumentError("--data is missing");
  if (files.images.empty()) {
    return absl::InvalidArgumentError("a checkpoint needs --images, the folder of the images");
  }
  const std::string only_detectors = !files.old_detections.empty()   ? "--old_detections"
                                     : !files.new_detections.empty() ? "--new_detections"
                                     : !files.label_config.empty()   ? "--label_config"
                                     : options.precision != "fp32"   ? "--precision"
                                                                     : "";
  if (only_detectors.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      only_detectors, " is for detectors; --new=", files.new_checkpoint, " is a segmenter"));
}

absl::StatusOr<dataset::Dataset> ReadTruth(const std::string& path, dataset::Findings* findings) {
  const auto file = files::MappedFile::Open(path);
  if (!file.ok()) return file.status();
  absl::StatusOr<dataset::Dataset> truth = dataset::ReadAnnotations((*file)->bytes(), {}, findings);
  if (!truth.ok()) return Naming(path, truth.status());
  for (dataset::Sample& sample : truth->samples) {
    KeepObjectsWithMasks(sample.image, &sample, findings);
  }
  std::erase_if(truth->samples,
                [](const dataset::Sample& sample) { return sample.objects.empty(); });
  return truth;
}

std::vector<std::string> PromptNames() {
  std::vector<std::string> names = {"IoU from a box"};
  for (std::size_t click = 1; click <= kScoredClicks; ++click) {
    names.push_back(absl::StrCat("IoU after ", click, click == 1 ? " click" : " clicks"));
  }
  return names;
}

PromptIous IousOf(const ClickScores& scores) {
  PromptIous ious{.objects = scores.objects, .ious = {scores.box}};
  ious.ious.insert(ious.ious.end(), scores.clicks.begin(), scores.clicks.end());
  return ious;
}

// By model, then by image.
using Answers = std::vector<std::vector<PromptIous>>;

// What decoders answer on embeddings of the encoder in `checkpoint`.
absl::StatusOr<Answers> AnswersOf(const std::string& checkpoint,
                                  const std::vector<PromptedDecoder*>& decoders, int threads,
                                  const DatasetSource& source,
                                  const std::function<void()>& on_answer) {
  const auto served = segmenter::LoadModel({.path = checkpoint, .root = {}}, {.threads = threads});
  if (!served.ok()) return served.status();
  segmenter::SamNetwork& network = *(*served)->network;
  if (absl::Status warm = network.WarmUp(); !warm.ok()) return warm;
  Answers answers(decoders.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    const absl::StatusOr<TrainingImage> image = source.Load(i);
    if (!image.ok()) return image.status();
    const auto embedding = EncodeImage(network, image->image);
    if (!embedding.ok()) return embedding.status();
    std::vector<vision::Mask> masks;
    for (const dataset::Object& object : source.dataset().samples[i].objects) {
      masks.push_back(*object.mask);
    }
    for (std::size_t model = 0; model < decoders.size(); ++model) {
      const auto scores = ScoreClicks(*decoders[model], *embedding, masks);
      if (!scores.ok()) return Naming(source.name(i), scores.status());
      answers[model].push_back(IousOf(*scores));
      on_answer();
    }
  }
  return answers;
}

// Of the old model, if there is one, and of the new one.
absl::StatusOr<Answers> AnswersOfBoth(const ComparedFiles& files, const CompareOptions& options,
                                      const DatasetSource& source) {
  absl::StatusOr<TunableSegmenter> of_new = LoadTunable(files.new_checkpoint);
  if (!of_new.ok()) return of_new.status();
  std::optional<TunableSegmenter> of_old;
  if (!files.old_checkpoint.empty()) {
    absl::StatusOr<TunableSegmenter> loaded = LoadTunable(files.old_checkpoint);
    if (!loaded.ok()) return loaded.status();
    of_old = *std::move(loaded);
  }
  std::size_t done = 0;
  const auto on_answer = [&, all = source.size() * (of_old ? 2U : 1U)] {
    ++done;
    if (options.progress) options.progress(done, all);
  };
  PromptedDecoder* const new_decoder = of_new->decoder.get();
  if (of_old && ShareEncoder(*of_old, *of_new)) {
    return AnswersOf(files.old_checkpoint, {of_old->decoder.get(), new_decoder}, options.threads,
                     source, on_answer);
  }
  Answers both;
  if (of_old) {
    auto answers = AnswersOf(files.old_checkpoint, {of_old->decoder.get()}, options.threads, source,
                             on_answer);
    if (!answers.ok()) return answers;
    both = *std::move(answers);
  }
  auto answers = AnswersOf(files.new_checkpoint, {new_decoder}, options.threads, source, on_answer);
  if (!answers.ok()) return answers;
  both.push_back(std::move(answers->front()));
  return both;
}

}  // namespace

bool IsSegmenter(const std::string& checkpoint) {
  const absl::StatusOr<checkpoint::Checkpoint> file = checkpoint::ReadCheckpoint(checkpoint);
  return file.ok() &&
         std::any_of(file->state_dict.begin(), file->state_dict.end(), [](const auto& tensor) {
           return absl::StrContains(tensor.first, "mask_decoder.");
         });
}

absl::StatusOr<boost::json::object> CompareSegmenters(const ComparedFiles& files,
                                                      const CompareOptions& options) {
  if (absl::Status status = Check(files, options); !status.ok()) return status;
  dataset::Findings findings;
  absl::StatusOr<dataset::Dataset> truth = ReadTruth(files.annotations, &findings);
  if (!truth.ok()) return truth.status();
  const DatasetSource source(*std::move(truth), files.images, /*masks=*/false);
  absl::StatusOr<Answers> answers = AnswersOfBoth(files, options, source);
  if (!answers.ok()) return answers.status();
  const std::vector<PromptIous>& of_new = answers->back();
  std::vector<PromptIous> of_old = answers->front();
  if (files.old_checkpoint.empty()) {
    // Nothing has answered before.
    for (PromptIous& image : of_old) std::fill(image.ious.begin(), image.ious.end(), 0.0);
  }
  GateRule rule = PromptRule();
  rule.looks = options.looks;
  rule.annotated = options.annotated;
  boost::json::object report =
      ToJson(ComparePrompts(PromptNames(), of_old, of_new, {.seed = options.seed}, rule));
  boost::json::array& left_out = (report["left_out"] = boost::json::array()).get_array();
  for (const std::string& line : findings.Lines()) left_out.emplace_back(line);
  return report;
}

}  // namespace trainer
