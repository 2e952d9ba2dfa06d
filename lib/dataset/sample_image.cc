#include "dataset/sample_image.h"

#include <string_view>

#include "text/str_cat.h"
#include "vision/image_codec.h"

namespace dataset {

using text::StrCat;

std::optional<std::string> AcceptImage(const absl::StatusOr<std::string>& bytes, Sample* sample,
                                       Findings* findings) {
  const auto leave_out = [&](std::string_view kind,
                             std::string_view why) -> std::optional<std::string> {
    findings->Add(kind, StrCat("'", sample->image, "' of task ", sample->id, ": ", why));
    return std::nullopt;
  };
  if (!bytes.ok()) {
    return leave_out(absl::IsNotFound(bytes.status())   ? "images that can't be found, left out"
                     : absl::IsDataLoss(bytes.status()) ? "damaged images, left out"
                                                        : "images that can't be read, left out",
                     text::StdView(bytes.status().message()));
  }
  const absl::StatusOr<vision::ImageHeader> header = vision::ReadImageHeader(*bytes, {});
  if (!header.ok()) {
    return leave_out("files that are no images, left out",
                     text::StdView(header.status().message()));
  }
  if (sample->size == vision::Size{}) sample->size = header->size;
  if (sample->size != header->size) {
    return leave_out("images of another size than what was annotated, left out",
                     StrCat(header->size.width, "x", header->size.height, " upright, annotated as ",
                            sample->size.width, "x", sample->size.height));
  }
  return header->format;
}

}  // namespace dataset
