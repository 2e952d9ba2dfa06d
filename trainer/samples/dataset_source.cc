#include "trainer/samples/dataset_source.h"

#include <memory>

#include "dataset/image_files.h"
#include "text/str_cat.h"
#include "vision/image_codec.h"
#include "vision/mask.h"

namespace trainer {
namespace {

using text::StrCat;

absl::StatusOr<cv::Mat> Decode(std::string_view bytes, vision::Size annotated) {
  absl::StatusOr<vision::DecodedImage> image = vision::DecodeImage(bytes, {});
  if (!image.ok()) return image.status();
  if (!image->damage.empty()) {
    return absl::DataLossError(StrCat("it is damaged: ", image->damage));
  }
  const vision::Size size{image->pixels.cols, image->pixels.rows};
  if (annotated != vision::Size{} && annotated != size) {
    return absl::FailedPreconditionError(StrCat("it has ", size.width, "x", size.height,
                                                " pixels upright, but was annotated as ",
                                                annotated.width, "x", annotated.height));
  }
  return std::move(image->pixels);
}

absl::StatusOr<cv::Mat> ReadPixels(const std::string& folder, const dataset::Sample& sample) {
  if (sample.image_bytes != nullptr) return Decode(*sample.image_bytes, sample.size);
  const absl::StatusOr<std::string> bytes = dataset::ReadImageFile(folder, sample.image);
  if (!bytes.ok()) return bytes.status();
  return Decode(*bytes, sample.size);
}

}  // namespace

absl::StatusOr<TrainingImage> DatasetSource::Load(std::size_t index) const {
  const dataset::Sample& sample = dataset_.samples[index];
  absl::StatusOr<cv::Mat> pixels = ReadPixels(folder_, sample);
  if (!pixels.ok()) {
    return absl::Status(pixels.status().code(),
                        StrCat("image '", sample.image, "': ", pixels.status().message()));
  }
  TrainingImage loaded{.image = *std::move(pixels), .objects = {}};
  loaded.objects.reserve(sample.objects.size());
  for (const dataset::Object& object : sample.objects) {
    TrainingObject& one = loaded.objects.emplace_back();
    one.box = object.box;
    one.class_index = object.class_index;
    one.ignored = object.crowd;
    if (masks_ && object.mask) one.mask = std::make_shared<const vision::Mask>(*object.mask);
  }
  return loaded;
}

}  // namespace trainer
