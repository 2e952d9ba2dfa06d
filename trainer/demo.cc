#include "trainer/demo.h"

#include <ATen/Context.h>

#include "checkpoint/pth_writer.h"
#include "nn/state_dict.h"
#include "nn/torch_status.h"
#include "trainer/detector_trainer.h"
#include "trainer/scenes/random.h"
#include "trainer/segmenter_trainer.h"

namespace trainer {
namespace {

// An eighth of the arithmetic of RTMDet-tiny at 640.
constexpr double kWiden = 0.25;
constexpr double kDeepen = 0.167;
constexpr int kDetectorSide = 256;
constexpr int kFirstSegmenterSide = 256;
constexpr int kSegmenterSide = 512;

// SAM's shape at an eighth of ViT-B's width. The window sizes take turns, so that their borders do
// too and everything meets everything without many global blocks, which cost more than all the
// rest.
segmenter::SamConfig SmallSam() {
  segmenter::SamConfig config;
  config.image_encoder.image_size = kFirstSegmenterSide;
  config.image_encoder.embed_dim = 128;
  config.image_encoder.num_heads = 2;
  config.image_encoder.mlp_dim = 512;
  config.image_encoder.window_sizes = {8, 12, 8, 0, 8};
  config.embed_dim = 128;
  config.mask_decoder.mlp_dim = 512;
  config.mask_decoder.iou_head_hidden = 128;
  return config;
}

}  // namespace

Scene DemoScene(std::uint64_t seed, std::uint64_t n, int side, SceneOptions options) {
  const std::uint64_t scene_seed = SceneSeed(seed, "train", n);
  Random random(~scene_seed);
  const int shorter = random.Chance(0.5) ? side : random.Integer(side * 5 / 8, side);
  options.size = random.Chance(0.5) ? cv::Size(side, shorter) : cv::Size(shorter, side);
  return DrawScene(scene_seed, options);
}

absl::Status TrainDemoDetector(const DemoOptions& options, const std::string& path) {
  return nn::CatchTorch("train the detector", [&] {
    at::manual_seed(options.seed);
    detector::RtmdetConfig config = detector::ScaledRtmdet(kWiden, kDeepen, kShapeCount);
    config.exp_on_reg = true;  // boxes start at two cells' size instead of none, and learn at once
    detector::Rtmdet detector(config);
    DetectorTraining training;
    training.input_size = kDetectorSide;
    // Two rounds of the schedule, the second from the average that the first one left.
    for (const int round : {0, 1}) {
      training.schedule = {.peak = 2e-3, .steps = round == 0 ? 500 : 600, .warmup_steps = 30};
      if (options.steps > 0) training.schedule.steps = options.steps;
      const std::uint64_t seed = options.seed + (round == 0 ? 0 : 1000003);
      TrainDetector(
          training, [&](std::uint64_t n) { return DemoScene(seed, n, kDetectorSide); }, detector);
    }
    const checkpoint::Meta meta{
        .classes = ShapeNames(),
        .config_text = DetectorConfigText(training, kWiden, kDeepen, kShapeCount),
        .mmengine_version = "0.10.7"};
    return checkpoint::WritePth(path, nn::ToStateDict(*detector), meta);
  });
}

absl::Status TrainDemoSegmenter(const DemoOptions& options, const std::string& path) {
  return nn::CatchTorch("train the segmenter", [&] {
    at::manual_seed(options.seed);
    segmenter::Sam sam(SmallSam());
    InitializePositions(sam);
    TieCrossAttention(sam);
    SegmenterTraining training;
    training.replicas = 2;
    training.images_per_replica = 2;
    training.seed = options.seed;
    // What prompts and masks are is learned on pieces of scenes, a quarter as large: shapes of the
    // same size in pixels, but fewer.
    training.schedule = {.peak = 5e-4, .steps = 1000, .warmup_steps = 30, .final_share = 0.2};
    if (options.steps > 0) training.schedule.steps = options.steps;
    const SceneOptions piece{
        .min_objects = 1, .max_objects = 5, .min_radius = 0.08, .max_radius = 0.3};
    TrainSegmenter(
        training,
        [&](std::uint64_t n) { return DemoScene(options.seed, n, kFirstSegmenterSide, piece); },
        sam);

    sam = Enlarge(sam, kSegmenterSide);
    training.seed = ~options.seed;
    training.first_balance = training.last_balance;
    training.images_per_replica = 1;
    training.schedule = {.peak = 3e-4, .steps = 150, .warmup_steps = 10};
    if (options.steps > 0) training.schedule.steps = options.steps;
    TrainSegmenter(
        training, [&](std::uint64_t n) { return DemoScene(~options.seed, n, kSegmenterSide); },
        sam);
    return checkpoint::WritePth(path, nn::ToStateDict(*sam), std::nullopt);
  });
}

}  // namespace trainer
