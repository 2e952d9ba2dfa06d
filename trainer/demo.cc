#include "trainer/demo.h"

#include <ATen/Context.h>

#include <functional>

#include "checkpoint/pth_writer.h"
#include "nn/state_dict.h"
#include "nn/torch_status.h"
#include "trainer/demo_detector.h"
#include "trainer/run/model_config.h"
#include "trainer/samples/scene_source.h"
#include "trainer/scenes/random.h"
#include "trainer/segmenter_trainer.h"

namespace trainer {
namespace {

// An eighth of the arithmetic of RTMDet-tiny at 640.
constexpr double kWiden = 0.25;
constexpr double kDeepen = 0.167;
constexpr int kDetectorSide = 256;
// Scenes as large as the input first; then as large as images are, which the model shrinks: what is
// blurred and noisy in them is sharper then.
constexpr SceneSides kLargeScenes{kDetectorSide * 5 / 4, kDetectorSide * 5 / 2};
struct DetectorRound {
  int steps;
  SceneSides sides;
};
constexpr DetectorRound kDetectorRounds[] = {{500, {kDetectorSide, kDetectorSide}},
                                             {600, {kDetectorSide, kDetectorSide}},
                                             {1600, kLargeScenes}};
constexpr int kFirstSegmenterSide = 128;
constexpr int kSegmenterSide = 256;

// SAM's shape at a sixth of ViT-B's width. Patches of 8 x 8 x 3 numbers fit into its channels, so
// that nothing of the image is lost, and masks have half of the input's resolution. The window
// sizes take turns, so that their borders do too and everything meets everything without many
// global blocks, which cost more than all the rest.
segmenter::SamConfig SmallSam() {
  segmenter::SamConfig config;
  config.image_encoder.image_size = kFirstSegmenterSide;
  config.image_encoder.patch_size = 8;
  config.image_encoder.embed_dim = 128;
  config.image_encoder.num_heads = 4;
  config.image_encoder.mlp_dim = 512;
  config.image_encoder.window_sizes = {8, 12, 8, 0, 8};
  config.embed_dim = 128;
  config.mask_decoder.mlp_dim = 512;
  config.mask_decoder.iou_head_hidden = 128;
  return config;
}

FlatCosineSchedule Schedule(const DemoOptions& options, double rate, int steps,
                            double final_share) {
  return {.base = rate,
          .epochs = options.steps > 0 ? options.steps : steps,
          .warmup_iterations = 30,
          .final_share = final_share};
}

void Train(const SegmenterTraining& training, const std::function<Scene(std::uint64_t n)>& draw,
           segmenter::Sam& sam) {
  TrainSegmenter(training, SceneSource(ImagesOf(training), draw), sam);
}

// What prompts and masks are is learned on small scenes, which cost a quarter: shapes as large in
// pixels as later, in number fewer.
void LearnPrompts(const DemoOptions& options, segmenter::Sam& sam) {
  SegmenterTraining training{.schedule = Schedule(options, 1e-3, 2000, 0.2),
                             .images_per_replica = 2,
                             .replicas = 2,
                             .boxes_per_image = 4,
                             .clicks_per_image = 4,
                             .last_balance = 0.05,
                             .seed = options.seed};
  training.first_correction = training.schedule.epochs / 2;
  const SceneOptions few{.min_objects = 1, .max_objects = 6, .min_radius = 0.07, .max_radius = 0.3};
  Train(
      training,
      [&](std::uint64_t n) {
        return DemoScene(options.seed, n, {kFirstSegmenterSide, kFirstSegmenterSide}, few);
      },
      sam);
}

void LearnLargeInputs(const DemoOptions& options, segmenter::Sam& sam) {
  const SegmenterTraining training{.schedule = Schedule(options, 7e-4, 2000, 0.02),
                                   .images_per_replica = 1,
                                   .replicas = 2,
                                   .boxes_per_image = 5,
                                   .clicks_per_image = 7,  // the harder ones
                                   .first_balance = 0.1,
                                   .seed = ~options.seed};
  Train(
      training,
      [&](std::uint64_t n) {
        return DemoScene(~options.seed, n, {kSegmenterSide, kSegmenterSide});
      },
      sam);
}

// Now that it knows what is meant: outlines, by Segment Anything's own losses, on scenes as large
// as images are.
void LearnOutlines(const DemoOptions& options, segmenter::Sam& sam) {
  const SegmenterTraining training{.schedule = Schedule(options, 7e-4, 2600, 0.02),
                                   .loss = MaskLoss::kSam,
                                   .images_per_replica = 2,
                                   .replicas = 2,
                                   .boxes_per_image = 5,
                                   .clicks_per_image = 3,
                                   .seed = options.seed + 77};
  Train(
      training, [&](std::uint64_t n) { return DemoScene(options.seed + 2000003, n, kLargeScenes); },
      sam);
}

}  // namespace

Scene DemoScene(std::uint64_t seed, std::uint64_t n, SceneSides sides, SceneOptions options) {
  const std::uint64_t scene_seed = SceneSeed(seed, "train", n);
  Random random(~scene_seed);
  const int longer =
      sides.least == sides.most ? sides.most : random.Integer(sides.least, sides.most);
  const int shorter = random.Chance(0.5) ? longer : random.Integer(longer * 5 / 8, longer);
  options.size = random.Chance(0.5) ? cv::Size(longer, shorter) : cv::Size(shorter, longer);
  return DrawScene(scene_seed, options);
}

absl::Status TrainDemoDetector(const DemoOptions& options, const std::string& path) {
  return nn::CatchTorch("train the detector", [&]() -> absl::Status {
    at::manual_seed(options.seed);
    detector::RtmdetConfig config = detector::ScaledRtmdet(kWiden, kDeepen, kShapeCount);
    config.exp_on_reg = true;  // boxes start at two cells' size instead of none, and learn at once
    detector::Rtmdet detector(config);
    DetectorTraining training;
    training.input_size = kDetectorSide;
    // Three rounds of the schedule, each from the average that the one before left.
    std::uint64_t seed = options.seed;
    for (const DetectorRound& round : kDetectorRounds) {
      training.schedule = Schedule(options, 2e-3, round.steps, 0.05);
      const SceneSource scenes(ImagesOf(training),
                               [&](std::uint64_t n) { return DemoScene(seed, n, round.sides); });
      TrainDetector(training, scenes, detector);
      seed += 1000003;
    }
    const absl::StatusOr<std::string> config_text =
        WriteModelConfig(config, {training.input_size, training.input_size});
    if (!config_text.ok()) return config_text.status();
    const checkpoint::Meta meta{
        .classes = ShapeNames(), .config_text = *config_text, .mmengine_version = "0.10.7"};
    return checkpoint::WritePth(path, nn::ToStateDict(*detector), meta);
  });
}

absl::Status TrainDemoSegmenter(const DemoOptions& options, const std::string& path) {
  return nn::CatchTorch("train the segmenter", [&] {
    at::manual_seed(options.seed);
    segmenter::Sam sam(SmallSam());
    InitializePositions(sam);
    TieCrossAttention(sam);
    InitializePromptFrequencies(sam);
    LearnPrompts(options, sam);
    sam = Enlarge(sam, kSegmenterSide);
    LearnLargeInputs(options, sam);
    LearnOutlines(options, sam);
    return checkpoint::WritePth(path, nn::ToStateDict(*sam), std::nullopt);
  });
}

}  // namespace trainer
