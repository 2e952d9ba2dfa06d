#include "segmenter_service/inference/mask_generator.h"

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
#include <optional>
#include <utility>

#include "vision/nms.h"

namespace segmenter {
namespace {

// A mask that ends this near to a crop's edge, but not near the image's, is cut off by the crop.
constexpr float kEdgePixels = 20;
constexpr int kMaxPrompts = 100'000;

struct Crop {
  vision::Box box;
  int layer;
};

// A mask that may become a result, with upstream's box, whose maximum is the last pixel and not the
// one behind it.
struct Candidate {
  GeneratedMask result;
  vision::Box inclusive_box;
};

std::vector<Crop> CropsOf(vision::Size image, const MaskGeneratorOptions& options) {
  std::vector<Crop> crops = {
      {{0, 0, static_cast<float>(image.width), static_cast<float>(image.height)}, 0}};
  for (int layer = 0; layer < options.crop_n_layers; ++layer) {
    const int side = 2 << layer;
    const int overlap = static_cast<int>(options.crop_overlap_ratio *
                                         std::min(image.width, image.height) * (2.0 / side));
    const auto length = [&](int whole) {
      return static_cast<int>(
          std::ceil((overlap * (side - 1) + whole) / static_cast<double>(side)));
    };
    const int width = length(image.width), height = length(image.height);
    for (int i = 0; i < side; ++i) {
      for (int j = 0; j < side; ++j) {
        const int x = (width - overlap) * i, y = (height - overlap) * j;
        crops.push_back({{static_cast<float>(x), static_cast<float>(y),
                          static_cast<float>(std::min(x + width, image.width)),
                          static_cast<float>(std::min(y + height, image.height))},
                         layer + 1});
      }
    }
  }
  return crops;
}

int PointsPerSide(const MaskGeneratorOptions& options, int layer) {
  return static_cast<int>(options.points_per_side /
                          std::pow(options.crop_n_points_downscale_factor, layer));
}

int PromptCount(const MaskGeneratorOptions& options) {
  double count = 0;
  for (int layer = 0; layer <= options.crop_n_layers; ++layer) {
    count += std::pow(4.0, layer) * std::pow(PointsPerSide(options, layer), 2);
  }
  return static_cast<int>(std::min(count, 2.0 * kMaxPrompts));
}

// x runs fastest. Pixels of the crop.
std::vector<vision::Point> PointGrid(int side, const vision::Box& crop) {
  std::vector<vision::Point> points;
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x) {
      points.push_back({static_cast<float>((x + 0.5) / side * crop.width()),
                        static_cast<float>((y + 0.5) / side * crop.height())});
    }
  }
  return points;
}

vision::Box InclusiveBox(const vision::Mask& mask) {
  if (mask.spans.empty()) return {0, 0, 0, 0};
  const vision::Box box = vision::TightBox(mask);
  return {box.x_min, box.y_min, box.x_max - 1, box.y_max - 1};
}

// `box` in the crop's frame.
bool IsCutOff(const vision::Box& box, const vision::Box& crop, vision::Size image) {
  const auto near = [](float a, float b) { return std::abs(a - b) <= kEdgePixels; };
  const auto cut = [&](float side, float crop_side, float image_side) {
    return near(side, crop_side) && !near(side, image_side);
  };
  return cut(box.x_min + crop.x_min, crop.x_min, 0) || cut(box.y_min + crop.y_min, crop.y_min, 0) ||
         cut(box.x_max + crop.x_min, crop.x_max, static_cast<float>(image.width)) ||
         cut(box.y_max + crop.y_min, crop.y_max, static_cast<float>(image.height));
}

void MoveToImage(const vision::Box& crop, vision::Size image, Candidate* candidate) {
  const int x = static_cast<int>(crop.x_min), y = static_cast<int>(crop.y_min);
  candidate->result.mask.size = image;
  for (vision::Span& span : candidate->result.mask.spans) {
    span.y += y;
    span.x_begin += x;
    span.x_end += x;
  }
  vision::Box& box = candidate->inclusive_box;
  box = {box.x_min + crop.x_min, box.y_min + crop.y_min, box.x_max + crop.x_min,
         box.y_max + crop.y_min};
  candidate->result.point.x += crop.x_min;
  candidate->result.point.y += crop.y_min;
  candidate->result.crop_box = crop;
}

std::vector<vision::Box> BoxesOf(const std::vector<Candidate>& candidates) {
  std::vector<vision::Box> boxes;
  for (const Candidate& candidate : candidates) boxes.push_back(candidate.inclusive_box);
  return boxes;
}

std::vector<Candidate> Pick(std::vector<Candidate> candidates,
                            const std::vector<std::size_t>& indices) {
  std::vector<Candidate> picked;
  for (const std::size_t index : indices) picked.push_back(std::move(candidates[index]));
  return picked;
}

// Fills holes, or removes islands, of less than `min_area` pixels; 8-connected, as upstream does
// for both. False if there are none.
bool RemoveSmallRegions(int min_area, bool holes, cv::Mat* pixels) {
  const cv::Mat working = holes ? cv::Mat(1 - *pixels) : *pixels;
  cv::Mat regions, stats, centroids;
  const int count = cv::connectedComponentsWithStats(working, regions, stats, centroids, 8);
  std::vector<bool> filled(count, false);
  bool any_small = false;
  int largest = 0;
  for (int i = 1; i < count; ++i) {
    const int area = stats.at<int>(i, cv::CC_STAT_AREA);
    const bool small = area < min_area;
    any_small = any_small || small;
    filled[i] = small == holes;
    if (largest == 0 || area > stats.at<int>(largest, cv::CC_STAT_AREA)) largest = i;
  }
  if (!any_small) return false;
  if (holes) filled[0] = true;
  if (!holes && std::none_of(filled.begin(), filled.end(), [](bool f) { return f; })) {
    filled[largest] = true;
  }
  for (int y = 0; y < pixels->rows; ++y) {
    for (int x = 0; x < pixels->cols; ++x) {
      pixels->at<std::uint8_t>(y, x) = filled[regions.at<int>(y, x)];
    }
  }
  return true;
}

std::vector<Candidate> RemoveSmallRegions(std::vector<Candidate> candidates,
                                          const MaskGeneratorOptions& options) {
  std::vector<float> scores;
  for (Candidate& candidate : candidates) {
    cv::Mat pixels = vision::ToPixels(candidate.result.mask, 1);
    const bool filled = RemoveSmallRegions(options.min_mask_region_area, /*holes=*/true, &pixels);
    const bool thinned = RemoveSmallRegions(options.min_mask_region_area, /*holes=*/false, &pixels);
    const bool changed = filled || thinned;
    if (changed) {
      candidate.result.mask = vision::MaskFromPixels(pixels);
      candidate.inclusive_box = InclusiveBox(candidate.result.mask);
    }
    scores.push_back(changed ? 0.0f : 1.0f);  // masks as they were win over those that changed
  }
  const std::vector<std::size_t> kept = vision::SuppressNonMaxima(
      BoxesOf(candidates), scores, std::max(options.box_nms_thresh, options.crop_nms_thresh));
  return Pick(std::move(candidates), kept);
}

// Appends the masks of one batch that pass the filters, in the crop's frame.
void Collect(const LowResMasks& masks, absl::Span<const vision::Point> points,
             const vision::MaskRenderer& renderer, const vision::Box& crop, vision::Size image,
             const MaskGeneratorOptions& options, std::vector<Candidate>* candidates) {
  for (std::size_t i = 0; i < points.size(); ++i) {
    for (int m = 0; m < masks.masks_per_prompt; ++m) {
      const float iou = masks.IouScore(i, m);
      if (options.pred_iou_thresh > 0 && !(iou > options.pred_iou_thresh)) continue;
      vision::RenderedMask rendered = renderer.Render(masks.Logits(i, m), options.mask_threshold,
                                                      options.stability_score_offset);
      if (options.stability_score_thresh > 0 &&
          !(rendered.stability_score >= options.stability_score_thresh)) {
        continue;
      }
      const vision::Box box = InclusiveBox(rendered.mask);
      if (IsCutOff(box, crop, image)) continue;
      candidates->push_back(
          {{std::move(rendered.mask), iou, rendered.stability_score, points[i], {}}, box});
    }
  }
}

}  // namespace

absl::Status CheckOptions(const MaskGeneratorOptions& options) {
  const auto wrong = [](absl::string_view field, auto value, absl::string_view needed) {
    return absl::InvalidArgumentError(absl::StrCat(field, " is ", value, "; it must be ", needed));
  };
  if (options.points_per_side < 1 || options.points_per_side > 256) {
    return wrong("points_per_side", options.points_per_side, "from 1 to 256");
  }
  if (options.points_per_batch < 1) {
    return wrong("points_per_batch", options.points_per_batch, "1 or more");
  }
  if (options.crop_n_layers < 0 || options.crop_n_layers > 4) {
    return wrong("crop_n_layers", options.crop_n_layers, "from 0 to 4");
  }
  if (!(options.crop_overlap_ratio >= 0 && options.crop_overlap_ratio < 1)) {
    return wrong("crop_overlap_ratio", options.crop_overlap_ratio, "at least 0 and less than 1");
  }
  if (options.crop_n_points_downscale_factor < 1 ||
      PointsPerSide(options, options.crop_n_layers) < 1) {
    return wrong("crop_n_points_downscale_factor", options.crop_n_points_downscale_factor,
                 "at least 1 and leave a point in every layer");
  }
  if (options.min_mask_region_area < 0) {
    return wrong("min_mask_region_area", options.min_mask_region_area, "0 or more");
  }
  for (const auto& [field, value] :
       {std::pair<const char*, float>{"pred_iou_thresh", options.pred_iou_thresh},
        {"stability_score_thresh", options.stability_score_thresh},
        {"stability_score_offset", options.stability_score_offset},
        {"box_nms_thresh", options.box_nms_thresh},
        {"crop_nms_thresh", options.crop_nms_thresh},
        {"mask_threshold", options.mask_threshold}}) {
    if (!std::isfinite(value)) return wrong(field, value, "a finite number");
  }
  if (PromptCount(options) > kMaxPrompts) {
    return absl::InvalidArgumentError(absl::StrCat(
        "points_per_side and crop_n_layers ask for more than ", kMaxPrompts, " prompts"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<GeneratedMask>> GenerateMasks(vision::Size image,
                                                         const MaskGeneratorOptions& options,
                                                         const MaskGeneratorSteps& steps) {
  const std::vector<Crop> crops = CropsOf(image, options);
  const int total = PromptCount(options);
  int done = 0;
  std::vector<Candidate> all;
  for (const Crop& crop : crops) {
    absl::StatusOr<std::shared_ptr<const ImageEmbedding>> embedding = steps.embed(crop.box);
    if (!embedding.ok()) return embedding.status();
    const InputGeometry& geometry = (*embedding)->geometry;
    std::optional<vision::MaskRenderer> renderer;  // the first answer says how large masks are
    const std::vector<vision::Point> grid = PointGrid(PointsPerSide(options, crop.layer), crop.box);
    std::vector<Candidate> candidates;
    for (std::size_t from = 0; from < grid.size(); from += options.points_per_batch) {
      const absl::Span<const vision::Point> points =
          absl::MakeConstSpan(grid).subspan(from, options.points_per_batch);
      std::vector<Prompt> prompts(points.size());
      for (std::size_t i = 0; i < points.size(); ++i) {
        prompts[i].points.push_back({geometry.ToInput(points[i]), 1});
      }
      const absl::StatusOr<LowResMasks> masks = steps.decode(*embedding, prompts);
      if (!masks.ok()) return masks.status();
      if (!renderer) renderer.emplace(MakeMaskRenderer(geometry, masks->size));
      Collect(*masks, points, *renderer, crop.box, image, options, &candidates);
      done += static_cast<int>(points.size());
      if (absl::Status status = steps.progress(done, total); !status.ok()) return status;
    }
    std::vector<float> scores;
    for (const Candidate& candidate : candidates) scores.push_back(candidate.result.iou_score);
    const std::vector<std::size_t> kept =
        vision::SuppressNonMaxima(BoxesOf(candidates), scores, options.box_nms_thresh);
    for (Candidate& candidate : Pick(std::move(candidates), kept)) {
      MoveToImage(crop.box, image, &candidate);
      all.push_back(std::move(candidate));
    }
  }
  if (crops.size() > 1) {
    // What a smaller crop found is finer.
    std::vector<float> scores;
    for (const Candidate& candidate : all) {
      const vision::Box& crop = candidate.result.crop_box;
      scores.push_back(1.0f / (crop.width() * crop.height()));
    }
    const std::vector<std::size_t> kept =
        vision::SuppressNonMaxima(BoxesOf(all), scores, options.crop_nms_thresh);
    all = Pick(std::move(all), kept);
  }
  if (options.min_mask_region_area > 0) all = RemoveSmallRegions(std::move(all), options);
  std::vector<GeneratedMask> results;
  for (Candidate& candidate : all) results.push_back(std::move(candidate.result));
  return results;
}

}  // namespace segmenter
