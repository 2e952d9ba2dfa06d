#include "trainer/segmenter_trainer.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <opencv2/imgproc.hpp>
#include <optional>
#include <utility>

#include "segmenter_service/inference/preprocess.h"
#include "trainer/losses/mask_losses.h"
#include "trainer/optimization/adamw.h"
#include "trainer/optimization/weight_average.h"
#include "trainer/progress.h"
#include "trainer/replicas.h"
#include "trainer/scenes/random.h"
#include "trainer/scenes/scene.h"
#include "trainer/segmenter/sam_losses.h"
#include "trainer/segmenter/simulated_prompts.h"
#include "vision/mask.h"

namespace trainer {
namespace {

// The prompt for one object. Coordinates in input pixels.
struct Prompt {
  vision::Box box;
  bool use_box = false;
  std::vector<vision::Point> clicks;
  std::vector<std::int64_t> click_labels;  // 1 foreground, 0 background
};

vision::Box Moved(const vision::Box& box, const segmenter::InputGeometry& geometry) {
  const vision::Point low = geometry.ToInput({box.x_min, box.y_min});
  const vision::Point high = geometry.ToInput({box.x_max, box.y_max});
  return {low.x, low.y, high.x, high.y};
}

// Half of the boxes are exact, as a detector's nearly are; the others have SAM's training noise: a
// tenth of the side, at most `most`. It is a standard deviation there, uniform here.
vision::Box Jittered(Random& random, const vision::Box& box, float most) {
  if (random.Chance(0.5)) return box;
  const auto moved = [&](float value, float side) {
    const float reach = std::min(0.1f * side, most);
    return value + static_cast<float>(random.Uniform(-reach, reach));
  };
  return {moved(box.x_min, box.width()), moved(box.y_min, box.height()),
          moved(box.x_max, box.width()), moved(box.y_max, box.height())};
}

// [low, low]: CoverageOf the mask.
at::Tensor Coverage(const cv::Mat& mask, const segmenter::InputGeometry& geometry,
                    std::int64_t low) {
  const cv::Mat coverage = CoverageOf(mask, geometry, static_cast<int>(low));
  return at::from_blob(coverage.data, {low, low}, at::kFloat).clone();
}

// [N, tokens, C]
at::Tensor Sparse(segmenter::Sam& sam, const std::vector<Prompt>& prompts) {
  std::vector<at::Tensor> rows;
  for (const Prompt& prompt : prompts) {
    std::vector<at::Tensor> tokens;
    if (!prompt.clicks.empty()) {
      const auto count = static_cast<std::int64_t>(prompt.clicks.size());
      at::Tensor coords = at::empty({1, count, 2});
      at::Tensor labels = at::empty({1, count}, at::kLong);
      for (std::int64_t i = 0; i < count; ++i) {
        coords[0][i][0] = prompt.clicks[i].x;
        coords[0][i][1] = prompt.clicks[i].y;
        labels[0][i] = prompt.click_labels[i];
      }
      tokens.push_back(sam->prompt_encoder->EmbedPoints(coords, labels, /*pad=*/!prompt.use_box));
    }
    if (prompt.use_box) {
      const float corners[] = {prompt.box.x_min, prompt.box.y_min, prompt.box.x_max,
                               prompt.box.y_max};
      tokens.push_back(
          sam->prompt_encoder->EmbedBoxes(at::tensor(at::ArrayRef<float>(corners)).view({1, 4})));
    }
    rows.push_back(at::cat(tokens, 1));
  }
  return at::cat(rows);
}

// A click in the region where `answer` [low, low] and `target` differ.
void AddCorrection(Random& random, const at::Tensor& answer, const at::Tensor& target,
                   double pixels_per_cell, Prompt& prompt) {
  const at::Tensor wanted = target.gt(0.5);
  at::Tensor region = answer.gt(0).ne(wanted);
  if (!region.any().item<bool>()) region = wanted;
  const int side = static_cast<int>(target.size(-1));
  const at::Tensor bytes = region.to(at::kByte).contiguous();
  const cv::Mat mask(side, side, CV_8UC1, bytes.data_ptr());
  const vision::Point cell = RandomPixel(random, mask);
  prompt.clicks.push_back({static_cast<float>((cell.x + 0.5) * pixels_per_cell - 0.5),
                           static_cast<float>((cell.y + 0.5) * pixels_per_cell - 0.5)});
  prompt.click_labels.push_back(
      wanted[static_cast<std::int64_t>(cell.y)][static_cast<std::int64_t>(cell.x)].item<bool>()
          ? 1
          : 0);
}

// The single mask's loss and that of the best multimask, plus how wrong predicted IoUs are;
// averaged over prompts. `target`: [N, 1, low, low]; `weights` likewise, absent for SAM's losses.
at::Tensor LossOf(const segmenter::DecodedMasks& answer, const at::Tensor& target,
                  const std::optional<at::Tensor>& weights) {
  if (!weights.has_value()) {
    const auto part = [&](std::int64_t from, std::int64_t to) {
      return ComputeSamLosses(answer.logits.slice(1, from, to),
                              answer.iou_predictions.slice(1, from, to), target)
          .Total();
    };
    return part(0, 1) + part(1, answer.logits.size(1));
  }
  const at::Tensor each =  // [N, 4]
      WeightedCrossEntropy(answer.logits, target, *weights) + DiceLoss(answer.logits, target);
  const at::Tensor single = each.select(1, 0);
  const at::Tensor best = std::get<0>(each.slice(1, 1).min(1));
  const at::Tensor iou_error = (answer.iou_predictions - MaskIou(answer.logits, target)).square();
  return (single + best).mean() + iou_error.mean();
}

// The input of the image encoder, [3, size, size], as the service makes it.
at::Tensor InputOf(const cv::Mat& image, const segmenter::InputGeometry& geometry) {
  const std::int64_t size = geometry.image_size;
  at::Tensor input = at::empty({3, size, size});
  segmenter::NormalizeAndPad(segmenter::ResizeToInput(image, geometry), geometry,
                             input.data_ptr<float>());
  return input;
}

// Images, the prompts for each, and the masks that should be answered.
struct Batch {
  at::Tensor inputs;            // [images, 3, size, size]
  std::vector<Prompt> prompts;  // N, as many for each image
  at::Tensor target;            // [N, 1, low, low]: coverage by the object that is meant
  at::Tensor others;            // likewise, by all other objects
};

Batch MakeBatch(const SegmenterTraining& training, const ImageSource& images, std::uint64_t number,
                Random& random, const segmenter::SamConfig& config) {
  std::vector<at::Tensor> inputs, targets, others;
  Batch batch;
  for (int i = 0; i < training.images_per_replica; ++i) {
    const absl::StatusOr<TrainingImage> image =
        images.Load(number * training.images_per_replica + i);
    TORCH_CHECK(image.ok(), image.status().ToString());
    const segmenter::InputGeometry geometry = segmenter::FitInput(
        {image->image.cols, image->image.rows}, static_cast<int>(config.image_encoder.image_size));
    inputs.push_back(InputOf(image->image, geometry));
    std::vector<cv::Mat> masks;
    std::vector<at::Tensor> coverage;
    for (const TrainingObject& object : image->objects) {
      masks.push_back(vision::ToPixels(*object.mask));
      coverage.push_back(Coverage(masks.back(), geometry, config.low_res_size()));
    }
    const at::Tensor all = at::stack(coverage).sum(0);
    const int count = static_cast<int>(masks.size());
    const int first = random.Integer(0, count - 1);
    for (int p = 0; p < training.boxes_per_image + training.clicks_per_image; ++p) {
      // Every object in turn, then again with another prompt.
      const int o = (first + p) % count;
      Prompt& prompt = batch.prompts.emplace_back();
      prompt.use_box = p < training.boxes_per_image;
      prompt.box = Jittered(random, Moved(image->objects[o].box, geometry), MostBoxNoise(geometry));
      if (!prompt.use_box) {
        prompt.clicks.push_back(geometry.ToInput(RandomPixel(random, masks[o])));
        prompt.click_labels.push_back(1);
      }
      targets.push_back(coverage[o]);
      others.push_back(all - coverage[o]);
    }
  }
  batch.inputs = at::stack(inputs);
  batch.target = at::stack(targets).unsqueeze(1);
  batch.others = at::stack(others).unsqueeze(1);
  return batch;
}

// Of the first round's single masks.
struct RoundResult {
  double loss = 0;
  double iou_from_box = 0;
  double iou_from_click = 0;
};

RoundResult ResultOf(const at::Tensor& loss, const segmenter::DecodedMasks& answer,
                     const Batch& batch) {
  const at::Tensor iou = MaskIou(answer.logits.slice(1, 0, 1), batch.target).flatten();
  const auto prompts = static_cast<std::int64_t>(batch.prompts.size());
  at::Tensor is_box = at::empty({prompts}, at::kBool);
  for (std::int64_t i = 0; i < prompts; ++i) is_box[i] = batch.prompts[i].use_box;
  return {loss.item<double>(), iou.masked_select(is_box).mean().item<double>(),
          iou.masked_select(is_box.logical_not()).mean().item<double>()};
}

// Leaves the gradients of batch `number` in `sam`.
RoundResult BackwardBatch(const SegmenterTraining& training, const ImageSource& images,
                          std::uint64_t number, int rounds, double balance, segmenter::Sam& sam) {
  Random random(SceneSeed(training.seed, "prompts", number));
  Batch batch = MakeBatch(training, images, number, random, sam->config);
  std::optional<at::Tensor> weights;
  if (training.loss == MaskLoss::kBalanced) {
    weights = PixelWeights(batch.target, batch.others, balance);
  }
  const at::Tensor embeddings =
      sam->image_encoder(batch.inputs)
          .repeat_interleave(training.boxes_per_image + training.clicks_per_image, 0);
  const at::Tensor positions = sam->prompt_encoder->DensePositions();

  const auto first = sam->mask_decoder(embeddings, positions, Sparse(sam, batch.prompts),
                                       sam->prompt_encoder->NoMask());
  at::Tensor loss = LossOf(first, batch.target, weights);
  const RoundResult result = ResultOf(loss, first, batch);
  if (rounds > 1) {
    const at::Tensor earlier = first.logits.slice(1, 0, 1).detach();
    const double pixels_per_cell = static_cast<double>(sam->config.image_encoder.image_size) /
                                   static_cast<double>(sam->config.low_res_size());
    for (std::size_t i = 0; i < batch.prompts.size(); ++i) {
      const auto n = static_cast<std::int64_t>(i);
      AddCorrection(random, earlier[n][0], batch.target[n][0], pixels_per_cell, batch.prompts[i]);
    }
    const auto second = sam->mask_decoder(embeddings, positions, Sparse(sam, batch.prompts),
                                          sam->prompt_encoder->EmbedMasks(earlier));
    loss = loss + LossOf(second, batch.target, weights);
  }
  loss.backward();
  return result;
}

}  // namespace

std::size_t ImagesOf(const SegmenterTraining& training) {
  return static_cast<std::size_t>(training.schedule.iterations()) * training.replicas *
         training.images_per_replica;
}

void TrainSegmenter(const SegmenterTraining& training, const ImageSource& images,
                    segmenter::Sam& sam) {
  torch::optim::AdamW optimizer = MakeAdamW(*sam, training.weight_decay, /*beta2=*/0.95);
  WeightAverage average(
      *sam,
      {.momentum = training.average_momentum, .gamma = training.average_gamma, .by_name = false});
  Replicas<segmenter::Sam> replicas(sam, training.replicas);
  const std::vector<double> rates = training.schedule.LearningRates();
  const int steps = static_cast<int>(rates.size());
  ProgressPrinter progress("segmenter", steps);
  std::vector<RoundResult> results(training.replicas);
  for (int step = 0; step < steps; ++step) {
    // The second round costs as much as the first: every fourth step, once the first one's answers
    // are worth correcting.
    const bool corrects = step % 4 == 3 && step >= training.first_correction;
    const double done = static_cast<double>(step) / steps;
    const double balance =
        training.first_balance + done * (training.last_balance - training.first_balance);
    replicas.Backward([&](segmenter::Sam& replica, int r) {
      const std::uint64_t batch = static_cast<std::uint64_t>(step) * training.replicas + r;
      results[r] = BackwardBatch(training, images, batch, corrects ? 2 : 1, balance, replica);
    });
    const double norm = ClipGradients(*sam, training.max_gradient_norm);
    SetLearningRate(optimizer, rates[step]);
    optimizer.step();
    average.Update(*sam);
    progress.Step(step, rates[step],
                  {{"loss", results[0].loss},
                   {"iou_from_box", results[0].iou_from_box},
                   {"iou_from_click", results[0].iou_from_click},
                   {"norm", norm}});
  }
  average.CopyTo(*sam);
  sam->eval();
}

void InitializePositions(segmenter::Sam& sam) {
  constexpr double kFewestPeriods = 0.25;
  constexpr double kMostPeriods = 8;
  constexpr double kAmplitude = 0.5;  // about that of the patches
  const at::NoGradGuard no_grad;
  at::Tensor& table = sam->image_encoder->pos_embed;  // [1, grid, grid, C]
  const std::int64_t grid = table.size(1);
  const std::int64_t waves = table.size(3) / 4;  // times sine and cosine, times rows and columns
  const at::Tensor share = at::arange(waves, table.options()) /
                           static_cast<double>(std::max<std::int64_t>(waves - 1, 1));
  const at::Tensor periods = kFewestPeriods * at::pow(kMostPeriods / kFewestPeriods, share);
  const at::Tensor cells = (at::arange(grid, table.options()) + 0.5) / static_cast<double>(grid);
  const at::Tensor phase = 2 * std::numbers::pi * cells.unsqueeze(1) * periods;  // [grid, waves]
  const at::Tensor line = kAmplitude * at::cat({phase.sin(), phase.cos()}, 1);   // [grid, C / 2]
  const std::int64_t half = 2 * waves;
  table.slice(3, 0, half).copy_(line.view({1, 1, grid, half}));
  table.slice(3, half, 2 * half).copy_(line.view({1, grid, 1, half}));
}

void InitializePromptFrequencies(segmenter::Sam& sam) {
  constexpr double kLowest = 0.05;
  constexpr double kHighest = 1;
  at::Tensor& matrix = sam->prompt_encoder->pe_layer->positional_encoding_gaussian_matrix;
  const std::int64_t count = matrix.size(1);
  const at::Tensor share = at::arange(count, matrix.options()) /
                           static_cast<double>(std::max<std::int64_t>(count - 1, 1));
  matrix.mul_(kLowest * at::pow(kHighest / kLowest, share));
}

void TieCrossAttention(segmenter::Sam& sam) {
  constexpr double kSpread = 1;
  constexpr double kEmbeddingScale = 0.1;
  constexpr double kImageScale = 0.3;
  const at::NoGradGuard no_grad;
  auto parameters = sam->named_parameters();
  for (auto& item : parameters) {
    const std::string& name = item.key();
    const auto contains = [&](const char* part) { return name.find(part) != std::string::npos; };
    if (contains("point_embed") || contains("no_mask_embed") || contains("iou_token") ||
        contains("mask_tokens")) {
      item.value().mul_(kEmbeddingScale);
    }
    if (name == "image_encoder.neck.3.weight") item.value().fill_(kImageScale);
    const std::size_t at = name.find("k_proj.weight");
    if (at == std::string::npos || !(contains("cross_attn") || contains("final_attn"))) continue;
    std::string q_name = name;
    q_name[at] = 'q';
    at::Tensor& q = parameters[q_name];
    const double reach = kSpread * std::sqrt(3.0 / static_cast<double>(q.size(1)));
    q.uniform_(-reach, reach);
    item.value().copy_(q);
    for (const std::string& weight : {name, q_name}) {
      parameters[weight.substr(0, weight.size() - std::string("weight").size()) + "bias"].zero_();
    }
  }
}

segmenter::Sam Enlarge(const segmenter::Sam& sam, std::int64_t image_size) {
  const at::NoGradGuard no_grad;
  segmenter::SamConfig config = sam->config;
  config.image_encoder.image_size = image_size;
  segmenter::Sam larger(config);
  const auto source = sam->named_parameters();
  for (auto& item : larger->named_parameters()) {
    at::Tensor from = source[item.key()];
    const auto sizes = item.value().sizes();
    if (from.sizes() != sizes) {
      if (from.dim() == 4) {  // pos_embed [1, grid, grid, C]
        from = at::upsample_bilinear2d(from.permute({0, 3, 1, 2}), {sizes[1], sizes[2]},
                                       /*align_corners=*/false)
                   .permute({0, 2, 3, 1});
      } else {  // rel_pos [2 * grid - 1, d] of a global block
        from = at::upsample_linear1d(from.t().unsqueeze(0), {sizes[0]}, /*align_corners=*/false)[0]
                   .t();
      }
    }
    item.value().copy_(from);
  }
  CopyBuffers(*sam, *larger);
  return larger;
}

}  // namespace trainer
