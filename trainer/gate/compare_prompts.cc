#include "trainer/gate/compare_prompts.h"

#include <absl/strings/str_format.h>

#include <algorithm>
#include <numeric>
#include <span>

#include "text/str_cat.h"
#include "trainer/gate/verdict_json.h"

namespace trainer {
namespace {

// The mean over all objects, by kind of prompt, when image i counts counts[i] times; empty without
// objects.
std::vector<double> MeanOf(const std::vector<PromptIous>& images, std::span<const int> counts,
                           std::size_t prompts) {
  std::vector<double> sums(prompts, 0.0);
  double objects = 0;
  for (std::size_t i = 0; i < images.size(); ++i) {
    const double weight = static_cast<double>(counts[i]) * static_cast<double>(images[i].objects);
    objects += weight;
    for (std::size_t p = 0; p < prompts; ++p) sums[p] += weight * images[i].ious[p];
  }
  if (objects == 0) return {};
  for (double& sum : sums) sum /= objects;
  return sums;
}

bool SameIous(const std::vector<PromptIous>& one, const std::vector<PromptIous>& other) {
  return std::equal(one.begin(), one.end(), other.begin(), other.end(),
                    [](const PromptIous& a, const PromptIous& b) { return a.ious == b.ious; });
}

// "IoU from a box goes from 0.900 to 0.910, IoU after 1 click from 0.800 to 0.850, the mean of all
// 6 prompts", which goes on with the mean's figures.
std::string FirstFigures(const PromptComparison& comparison) {
  constexpr std::size_t kShown = 2;  // what users do most; JSON has them all
  std::string text;
  for (std::size_t p = 0; p < std::min(kShown, comparison.by_prompt.size()); ++p) {
    const auto& [name, iou] = comparison.by_prompt[p];
    if (!iou) continue;
    absl::StrAppendFormat(&text, "%s%s %sfrom %.3f to %.3f", text.empty() ? "" : ", ", name,
                          text.empty() ? "goes " : "", iou->old_score, iou->new_score);
  }
  return absl::StrFormat("%s, the mean of all %d prompts", text, comparison.by_prompt.size());
}

}  // namespace

GateRule PromptRule() { return {.fall = 0.02, .apparent_fall = 0.05, .image_effect_on_part = 0.1}; }

PromptComparison ComparePrompts(const std::vector<std::string>& prompts,
                                const std::vector<PromptIous>& old_ious,
                                const std::vector<PromptIous>& new_ious,
                                const BootstrapOptions& options, const GateRule& rule) {
  PromptComparison comparison{.images = old_ious.size()};
  for (const PromptIous& image : old_ious) comparison.objects += image.objects;
  const auto measure = [&](std::span<const int> counts) {
    const std::vector<double> of_old = MeanOf(old_ious, counts, prompts.size());
    const std::vector<double> of_new = MeanOf(new_ious, counts, prompts.size());
    ScorePairs pairs(1 + prompts.size());
    if (of_old.empty()) return pairs;
    const auto mean = [](const std::vector<double>& ious) {
      return std::accumulate(ious.begin(), ious.end(), 0.0) / static_cast<double>(ious.size());
    };
    pairs[0] = ScorePair{mean(of_old), mean(of_new)};
    for (std::size_t p = 0; p < prompts.size(); ++p) {
      pairs[1 + p] = ScorePair{of_old[p], of_new[p]};
    }
    return pairs;
  };
  const auto differences = PairedBootstrap(old_ious.size(), measure, options);
  comparison.iou = differences[0];
  std::vector<ComparedPart> parts;
  for (std::size_t p = 0; p < prompts.size(); ++p) {
    comparison.by_prompt.push_back({prompts[p], differences[1 + p]});
    if (differences[1 + p]) parts.push_back({prompts[p], *differences[1 + p]});
  }
  comparison.verdict = Decide(FirstFigures(comparison), comparison.iou, parts,
                              static_cast<int>(comparison.images), rule);
  if (comparison.iou && SameIous(old_ious, new_ious)) {
    comparison.verdict = {.decision = Decision::kNotBetter,
                          .reason = text::StrCat("Both models answer the very same on ",
                                                 comparison.images, " images: not better."),
                          .fallen = {},
                          .perhaps_fallen = {}};
  }
  return comparison;
}

boost::json::object ToJson(const PromptComparison& comparison) {
  boost::json::object report = ToJson(comparison.verdict);
  report["old_score"] = comparison.iou ? comparison.iou->old_score : 0;
  report["new_score"] = comparison.iou ? comparison.iou->new_score : 0;
  report["images"] = comparison.images;
  report["objects"] = comparison.objects;
  report["iou"] = ToJson(comparison.iou);
  boost::json::object by_prompt;
  for (const auto& [name, iou] : comparison.by_prompt) by_prompt[name] = ToJson(iou);
  report["by_prompt"] = std::move(by_prompt);
  return report;
}

}  // namespace trainer
