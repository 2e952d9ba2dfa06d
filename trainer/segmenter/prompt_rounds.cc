#include "trainer/segmenter/prompt_rounds.h"

#include <ATen/Functions.h>

#include <cstddef>

#include "segmenter_service/inference/prompt.h"
#include "trainer/segmenter/simulated_prompts.h"

namespace trainer {
namespace {

// Of a contiguous [H, W] float tensor, whose memory it shares.
cv::Mat MatOf(const at::Tensor& values) {
  return {static_cast<int>(values.size(0)), static_cast<int>(values.size(1)), CV_32FC1,
          values.data_ptr<float>()};
}

// [N, 1, low, low]
at::Tensor TargetsOf(const std::vector<cv::Mat>& masks, const segmenter::InputGeometry& geometry,
                     std::int64_t low) {
  std::vector<at::Tensor> rows;
  for (const cv::Mat& mask : masks) {
    const cv::Mat coverage = CoverageOf(mask, geometry, static_cast<int>(low));
    rows.push_back(at::from_blob(coverage.data, {1, low, low}, at::kFloat).clone());
  }
  return at::stack(rows);
}

}  // namespace

void PlayRounds(PromptedDecoder& decoder, const std::vector<at::Tensor>& maps,
                const segmenter::InputGeometry& geometry, const std::vector<cv::Mat>& masks,
                bool boxes, int rounds, int without_click, Random& random,
                const std::function<void(const SamLosses&)>& on_round) {
  std::vector<segmenter::Prompt> prompts;
  for (const cv::Mat& mask : masks) {
    prompts.push_back(boxes ? BoxPrompt(random, mask, geometry)
                            : ClickPrompt(random, mask, geometry));
  }
  const at::Tensor target = TargetsOf(masks, geometry, 4 * maps[0].size(2));
  at::Tensor earlier;
  for (int round = 0; round <= rounds; ++round) {
    const segmenter::DecodedMasks all = decoder.Decode(maps, prompts, earlier);
    const bool ambiguous = round == 0 && !boxes;
    const std::int64_t from = ambiguous ? 1 : 0, to = ambiguous ? all.logits.size(1) : 1;
    const at::Tensor logits = all.logits.slice(1, from, to);
    const at::Tensor ious = all.iou_predictions.slice(1, from, to);
    on_round(ComputeSamLosses(logits, ious, target));
    if (round == rounds) return;

    const at::Tensor preferred =
        ious.detach().argmax(1).view({-1, 1, 1, 1}).expand({-1, 1, target.size(2), target.size(3)});
    earlier = logits.detach().gather(1, preferred).contiguous();
    if (round == rounds - 1 || round == without_click) continue;
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      const auto row = static_cast<std::int64_t>(i);
      prompts[i].points.push_back(
          CorrectiveClick(random, MatOf(earlier[row][0]), MatOf(target[row][0]), geometry));
    }
  }
}

}  // namespace trainer
