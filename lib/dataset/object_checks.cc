#include "dataset/object_checks.h"

#include <absl/container/flat_hash_set.h>

#include <algorithm>

#include "text/str_cat.h"

namespace dataset {

vision::Box Clip(const vision::Box& box, vision::Size size) {
  const auto width = static_cast<float>(size.width);
  const auto height = static_cast<float>(size.height);
  return {std::clamp(box.x_min, 0.0F, width), std::clamp(box.y_min, 0.0F, height),
          std::clamp(box.x_max, 0.0F, width), std::clamp(box.y_max, 0.0F, height)};
}

// Written so that NaN is empty.
bool IsEmpty(const vision::Box& box) { return !(box.width() > 0 && box.height() > 0); }

double BoxArea(const vision::Box& box) {
  return static_cast<double>(box.width()) * static_cast<double>(box.height());
}

absl::Status CheckClasses(const std::vector<std::string>& classes) {
  absl::flat_hash_set<std::string> seen;
  for (const std::string& name : classes) {
    if (name.empty()) return absl::InvalidArgumentError("a class has no name; give it one");
    if (!seen.insert(name).second) {
      return absl::InvalidArgumentError(
          text::StrCat("there are two classes '", name, "'; each needs a name of its own"));
    }
  }
  return absl::OkStatus();
}

}  // namespace dataset
