#include "segmenter_service/inference/prompt.h"

#include <absl/strings/str_cat.h>

#include <cmath>
#include <cstddef>
#include <string>

#include "vision/box.h"

namespace segmenter {
namespace {

bool IsFinite(const vision::Box& box) {
  return std::isfinite(box.x_min) && std::isfinite(box.y_min) && std::isfinite(box.x_max) &&
         std::isfinite(box.y_max);
}

std::string Text(vision::Size size) { return absl::StrCat(size.width, "x", size.height); }

absl::Status CheckPoint(const PromptPoint& point, std::size_t index, vision::Size image) {
  const std::string which = absl::StrCat("points[", index, "] ");
  const auto [x, y] = point.at;
  if (!std::isfinite(x) || !std::isfinite(y)) {
    return absl::InvalidArgumentError(which + "is not a finite number");
  }
  if (x < 0 || y < 0 || x > image.width || y > image.height) {
    return absl::InvalidArgumentError(
        absl::StrCat(which, "(", x, ", ", y, ") lies outside the ", Text(image), " pixel image"));
  }
  if (point.label < -1 || point.label > 1) {
    return absl::InvalidArgumentError(
        absl::StrCat(which, "has label ", point.label,
                     "; it must be 1 (foreground), 0 (background) or -1 (ignored)"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckPrompt(const Prompt& prompt, vision::Size image, int low_res_size) {
  if (prompt.points.empty() && !prompt.box && prompt.mask_logits.empty()) {
    return absl::InvalidArgumentError("is empty; it needs a point, a box or a mask");
  }
  for (std::size_t i = 0; i < prompt.points.size(); ++i) {
    if (absl::Status status = CheckPoint(prompt.points[i], i, image); !status.ok()) return status;
  }
  if (prompt.box) {
    if (!IsFinite(*prompt.box)) {
      return absl::InvalidArgumentError("box has a number that is not finite");
    }
    const vision::Box cut = vision::Clip(*prompt.box, image);
    if (cut.width() <= 0 || cut.height() <= 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "box (", prompt.box->x_min, ", ", prompt.box->y_min, ", ", prompt.box->x_max, ", ",
          prompt.box->y_max, ") covers nothing of the ", Text(image), " pixel image"));
    }
  }
  const std::size_t side = static_cast<std::size_t>(low_res_size);
  if (!prompt.mask_logits.empty() && prompt.mask_logits.size() != side * side) {
    return absl::InvalidArgumentError(absl::StrCat("mask_logits holds ", prompt.mask_logits.size(),
                                                   " values; this model needs ", side, "x", side));
  }
  if (!std::all_of(prompt.mask_logits.begin(), prompt.mask_logits.end(),
                   [](float value) { return std::isfinite(value); })) {
    return absl::InvalidArgumentError("mask_logits has a number that is not finite");
  }
  return absl::OkStatus();
}

Prompt ToInput(const Prompt& prompt, const InputGeometry& geometry) {
  Prompt result = prompt;
  for (PromptPoint& point : result.points) point.at = geometry.ToInput(point.at);
  if (result.box) {
    const vision::Box cut = vision::Clip(*result.box, geometry.original);
    const vision::Point low = geometry.ToInput({cut.x_min, cut.y_min});
    const vision::Point high = geometry.ToInput({cut.x_max, cut.y_max});
    result.box = vision::Box{low.x, low.y, high.x, high.y};
  }
  return result;
}

}  // namespace segmenter
