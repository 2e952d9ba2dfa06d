#include "trainer/detector/assigner.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>

#include "vision/box.h"

namespace trainer {
namespace {

float Sigmoid(float x) { return 1 / (1 + std::exp(-x)); }

// ln(1 + e^x) without overflow.
float Softplus(float x) { return std::max(x, 0.0f) + std::log1p(std::exp(-std::abs(x))); }

// Quality focal loss (beta 2) of one logit against a soft label.
float QualityFocal(float logit, float label) {
  const float scale = label - Sigmoid(logit);
  return (Softplus(logit) - label * logit) * scale * scale;
}

bool IsInside(const Prior& prior, const vision::Box& box) {
  return prior.x > box.x_min && prior.y > box.y_min && prior.x < box.x_max && prior.y < box.y_max;
}

}  // namespace

std::vector<Assignment> AssignDynamicSoftLabels(std::span<const Prior> priors,
                                                std::span<const vision::Box> predicted,
                                                std::span<const float> logits, int classes,
                                                std::span<const LabelledBox> objects,
                                                const AssignerOptions& options) {
  std::vector<Assignment> assignments(priors.size());
  std::vector<std::size_t> valid;  // priors inside at least one object
  for (std::size_t p = 0; p < priors.size(); ++p) {
    if (std::any_of(objects.begin(), objects.end(),
                    [&](const LabelledBox& object) { return IsInside(priors[p], object.box); })) {
      valid.push_back(p);
    }
  }
  if (valid.empty()) return assignments;

  // [objects][valid]
  std::vector<std::vector<float>> cost(objects.size(), std::vector<float>(valid.size()));
  std::vector<std::vector<float>> iou = cost;
  for (std::size_t v = 0; v < valid.size(); ++v) {
    const Prior& prior = priors[valid[v]];
    const std::span<const float> row =
        logits.subspan(valid[v] * static_cast<std::size_t>(classes), classes);
    const float all_background = std::accumulate(
        row.begin(), row.end(), 0.0f, [](float sum, float x) { return sum + QualityFocal(x, 0); });
    for (std::size_t o = 0; o < objects.size(); ++o) {
      const vision::Box& box = objects[o].box;
      const float logit = row[objects[o].class_id];
      // An inverted prediction may give less than 0, or NaN: it does not overlap.
      const float overlap = vision::BoxIou(predicted[valid[v]], box);
      iou[o][v] = overlap > 0 ? overlap : 0;
      const float class_cost =
          all_background - QualityFocal(logit, 0) + QualityFocal(logit, iou[o][v]);
      const float iou_cost = -std::log(iou[o][v] + 1e-7f) * options.iou_weight;
      const vision::Point centre = objects[o].centre.value_or(
          vision::Point{(box.x_min + box.x_max) / 2, (box.y_min + box.y_max) / 2});
      const float distance = std::hypot(prior.x - centre.x, prior.y - centre.y) / prior.stride;
      cost[o][v] = class_cost + iou_cost + std::pow(10.0f, distance - options.soft_center_radius);
      // Logits beyond 1e38 give inf - inf, which could not be sorted: the dearest prior of all.
      if (std::isnan(cost[o][v])) cost[o][v] = std::numeric_limits<float>::infinity();
    }
  }

  // How many objects chose a prior, and the last that did.
  std::vector<int> times_chosen(valid.size(), 0);
  std::vector<int> chosen_by(valid.size(), -1);
  const std::size_t candidates = std::min<std::size_t>(options.topk, valid.size());
  std::vector<std::size_t> order(valid.size());
  for (std::size_t o = 0; o < objects.size(); ++o) {
    std::vector<float> best = iou[o];
    std::partial_sort(best.begin(), best.begin() + candidates, best.end(), std::greater<>());
    const float sum = std::accumulate(best.begin(), best.begin() + candidates, 0.0f);
    const std::size_t k = std::max(1, static_cast<int>(sum));  // ≤ candidates, as an IoU is ≤ 1
    std::iota(order.begin(), order.end(), 0);
    std::partial_sort(order.begin(), order.begin() + k, order.end(),
                      [&](std::size_t a, std::size_t b) {
                        return cost[o][a] < cost[o][b] || (cost[o][a] == cost[o][b] && a < b);
                      });
    for (std::size_t i = 0; i < k; ++i) {
      ++times_chosen[order[i]];
      chosen_by[order[i]] = static_cast<int>(o);
    }
  }
  for (std::size_t v = 0; v < valid.size(); ++v) {
    if (times_chosen[v] == 0) continue;
    std::size_t object = chosen_by[v];
    if (times_chosen[v] >
        1) {  // the cheapest of all objects, as in mmdet: not only of those that chose it
      object = 0;
      for (std::size_t o = 1; o < objects.size(); ++o) {
        if (cost[o][v] < cost[object][v]) object = o;
      }
    }
    assignments[valid[v]] = {static_cast<int>(object), iou[object][v]};
  }
  return assignments;
}

}  // namespace trainer
