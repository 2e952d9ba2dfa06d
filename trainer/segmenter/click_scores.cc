#include "trainer/segmenter/click_scores.h"

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <absl/types/span.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <opencv2/core.hpp>
#include <utility>

#include "nn/torch_status.h"
#include "segmenter_service/inference/prompt.h"
#include "vision/mask_renderer.h"
#include "vision/mask_shapes.h"

namespace trainer {
namespace {

// CV_8UC1 of the image's size, and the logits that it is made of.
struct Answer {
  cv::Mat mask;
  at::Tensor logits;  // [1, 1, low, low]
};

class Questioner {
 public:
  Questioner(PromptedDecoder& decoder, const segmenter::ImageEmbedding& embedding)
      : decoder_(decoder),
        geometry_(embedding.geometry),
        maps_(MapsOf(embedding.features)),
        renderer_(segmenter::MakeMaskRenderer(geometry_, static_cast<int>(4 * maps_[0].size(2)))) {}

  // `prompt` in the image's pixels.
  Answer Ask(const segmenter::Prompt& prompt, const at::Tensor& earlier, bool multimask) {
    const segmenter::Prompt there = segmenter::ToInput(prompt, geometry_);
    const segmenter::DecodedMasks masks =
        decoder_.Select(decoder_.Decode(maps_, {&there, 1}, earlier), multimask);
    const auto best = masks.iou_predictions.argmax(1).item<std::int64_t>();
    const at::Tensor logits = masks.logits.slice(1, best, best + 1).contiguous();
    const absl::Span<const float> values(logits.data_ptr<float>(),
                                         static_cast<std::size_t>(logits.numel()));
    return {vision::ToPixels(renderer_.Render(values).mask), logits};
  }

 private:
  PromptedDecoder& decoder_;
  const segmenter::InputGeometry geometry_;
  const std::vector<at::Tensor> maps_;
  const vision::MaskRenderer renderer_;
};

double Iou(const cv::Mat& a, const cv::Mat& b) {
  const int either = cv::countNonZero(a | b);
  return either == 0 ? 1 : static_cast<double>(cv::countNonZero(a & b)) / either;
}

ClickScores ScoreObject(Questioner& questioner, const cv::Mat& truth) {
  ClickScores scores{.objects = 1};
  const vision::Box box = vision::TightBox(vision::MaskFromPixels(truth));
  const segmenter::Prompt by_box{.points = {}, .box = box, .mask_logits = {}};
  scores.box = Iou(questioner.Ask(by_box, {}, /*multimask=*/false).mask, truth);

  segmenter::Prompt prompt;
  Answer answer{cv::Mat::zeros(truth.size(), CV_8UC1), {}};
  for (std::size_t click = 0; click < kScoredClicks; ++click) {
    vision::Mask wrong = vision::MaskFromPixels(answer.mask ^ truth);
    if (wrong.spans.empty()) wrong = vision::MaskFromPixels(truth);
    const vision::Point at = *vision::InnermostPoint(wrong);
    const bool foreground = truth.at<uchar>(static_cast<int>(at.y), static_cast<int>(at.x)) != 0;
    // Its centre, which is where SAM's API has a pixel half a pixel earlier.
    prompt.points.push_back({.at = {at.x - 0.5f, at.y - 0.5f}, .label = foreground ? 1 : 0});
    answer = questioner.Ask(prompt, answer.logits, /*multimask=*/click == 0);
    scores.clicks[click] = Iou(answer.mask, truth);
  }
  return scores;
}

}  // namespace

double ClickScores::Mean() const {
  return std::accumulate(clicks.begin(), clicks.end(), box) /
         static_cast<double>(1 + clicks.size());
}

void ClickScores::Add(const ClickScores& more) {
  objects += more.objects;
  if (objects == 0) return;
  const double weight = static_cast<double>(more.objects) / static_cast<double>(objects);
  box += weight * (more.box - box);
  for (std::size_t i = 0; i < clicks.size(); ++i)
    clicks[i] += weight * (more.clicks[i] - clicks[i]);
}

absl::StatusOr<ClickScores> ScoreClicks(PromptedDecoder& decoder,
                                        const segmenter::ImageEmbedding& embedding,
                                        const std::vector<vision::Mask>& masks) {
  return nn::CatchTorch("measure", [&]() -> absl::StatusOr<ClickScores> {
    const at::NoGradGuard no_grad;
    Questioner questioner(decoder, embedding);
    ClickScores scores;
    for (const vision::Mask& mask : masks) {
      scores.Add(ScoreObject(questioner, vision::ToPixels(mask)));
    }
    return scores;
  });
}

}  // namespace trainer
