#include "detector_service/inference/sliced_detection.h"

#include <absl/strings/str_cat.h>

#include <algorithm>
#include <utility>

#include "vision/box.h"
#include "vision/mask_union.h"
#include "vision/tiles.h"

namespace detector {
namespace {

// Of all tiles, before they are joined; some 100 bytes each, and more with masks.
constexpr std::size_t kMostBoxes = 500'000;

// From pixels of a tile to those of the image.
void Shift(const vision::Tile& tile, vision::Size image, Detection* detection) {
  const auto x = static_cast<float>(tile.x);
  const auto y = static_cast<float>(tile.y);
  vision::Box& box = detection->box;
  box = {box.x_min + x, box.y_min + y, box.x_max + x, box.y_max + y};
  if (detection->rotated_box) {
    detection->rotated_box->center.x += x;
    detection->rotated_box->center.y += y;
  }
  if (detection->mask) {
    detection->mask->size = image;
    for (vision::Span& span : detection->mask->spans) {
      span.y += tile.y;
      span.x_begin += tile.x;
      span.x_end += tile.x;
    }
  }
}

// As the metric of upright boxes says it.
double Overlap(const vision::RotatedBox& a, const vision::RotatedBox& b,
               vision::OverlapMetric metric) {
  const double iou = vision::RotatedIou(a, b);
  if (metric == vision::OverlapMetric::kIou) return iou;
  const double area_a = double{a.width} * a.height;
  const double area_b = double{b.width} * b.height;
  const double smaller = std::min(area_a, area_b);
  return smaller > 0 ? iou * (area_a + area_b) / (1 + iou) / smaller : 0;
}

// With the masks of what became one; of the strongest alone, if not all have one.
std::optional<vision::Mask> JoinedMask(const std::vector<Detection>& found,
                                       const vision::MergedBox& merged) {
  const std::optional<vision::Mask>& strongest = found[merged.strongest].mask;
  if (!strongest || merged.joined.empty()) return strongest;
  std::vector<vision::Mask> masks = {*strongest};
  for (const std::size_t index : merged.joined) {
    if (found[index].mask) masks.push_back(*found[index].mask);
  }
  return vision::Union(masks);
}

std::vector<Detection> Join(std::vector<Detection> found, vision::MergeOptions options,
                            std::size_t most) {
  std::vector<vision::ScoredBox> boxes;
  boxes.reserve(found.size());
  for (const Detection& one : found) boxes.push_back({one.box, one.score, one.class_id});
  if (!found.empty() && found.front().rotated_box) {
    options.matches = [&found, &options](std::size_t a, std::size_t b) {
      return Overlap(*found[a].rotated_box, *found[b].rotated_box, options.metric) >=
             options.threshold;
    };
  }
  std::vector<vision::MergedBox> merged = vision::MergeBoxes(boxes, options);
  if (merged.size() > most) merged.resize(most);
  std::vector<Detection> joined;
  joined.reserve(merged.size());
  for (const vision::MergedBox& one : merged) {
    joined.push_back({.box = one.whole.box,
                      .score = one.whole.score,
                      .class_id = one.whole.class_id,
                      .rotated_box = found[one.strongest].rotated_box,
                      .mask = JoinedMask(found, one)});
  }
  return joined;
}

}  // namespace

bool NeedsSlices(vision::Size image, const SlicingOptions& slicing) {
  return image.width > slicing.tile_size || image.height > slicing.tile_size;
}

absl::StatusOr<std::vector<Detection>> DetectInSlices(DetectionModel& model, const cv::Mat& image,
                                                      const DetectOptions& options,
                                                      const SlicingOptions& slicing,
                                                      absl::FunctionRef<absl::Status()> go_on) {
  const vision::Size size = {image.cols, image.rows};
  const std::int64_t count = vision::CountTiles(size, slicing.tile_size, slicing.overlap);
  if (count > kMostTiles) {
    return absl::InvalidArgumentError(
        absl::StrCat("slicing: the image of ", size.width, "x", size.height, " has ", count,
                     " tiles of ", slicing.tile_size, " pixels that overlap by ", slicing.overlap,
                     "; at most ", kMostTiles, " are allowed"));
  }
  std::vector<vision::Tile> looks = vision::TilesOf(size, slicing.tile_size, slicing.overlap);
  if (slicing.whole_image) looks.push_back({0, 0, size});

  DetectOptions each = options;
  each.clip_to_image = true;
  each.max_detections.reset();
  std::vector<Detection> all;
  for (const vision::Tile& look : looks) {
    if (absl::Status status = go_on(); !status.ok()) return status;
    absl::StatusOr<std::vector<Detection>> found =
        model.Detect(image(cv::Rect(look.x, look.y, look.size.width, look.size.height)), each);
    if (!found.ok()) return found.status();
    for (Detection& one : *found) {
      Shift(look, size, &one);
      all.push_back(std::move(one));
    }
    if (all.size() > kMostBoxes) {
      return absl::InvalidArgumentError(
          absl::StrCat("slicing: more than ", kMostBoxes,
                       " boxes were found in the tiles; needed is a higher "
                       "score_threshold, or fewer tiles"));
    }
  }
  constexpr std::size_t kMost = 100'000;
  const std::size_t most = options.max_detections ? *options.max_detections : kMost;
  return Join(std::move(all), slicing.join, most);
}

}  // namespace detector
