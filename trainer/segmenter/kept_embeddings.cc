#include "trainer/segmenter/kept_embeddings.h"

#include <absl/strings/str_cat.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <system_error>
#include <vector>

#include "files/atomic_file.h"
#include "files/mapped_file.h"
#include "segmenter_service/inference/embedding_codec.h"
#include "segmenter_service/inference/preprocess.h"

namespace trainer {

absl::StatusOr<segmenter::ImageEmbedding> EncodeImage(segmenter::SamNetwork& network,
                                                      const cv::Mat& image) {
  const segmenter::NetworkSpec& spec = network.spec();
  const segmenter::InputGeometry geometry =
      segmenter::FitInput({image.cols, image.rows}, spec.image_size, spec.framing);
  std::vector<float> input(std::size_t{3} * static_cast<std::size_t>(spec.image_size) *
                           static_cast<std::size_t>(spec.image_size));
  segmenter::NormalizeAndPad(segmenter::ResizeToInput(image, geometry), geometry, input.data());
  auto features = network.EncodeImage(input, [] { return absl::OkStatus(); });
  if (!features.ok()) return features.status();
  return segmenter::ImageEmbedding{geometry, *std::move(features)};
}

absl::StatusOr<segmenter::ImageEmbedding> KeptEmbeddings::Read(const std::string& name) const {
  const std::string path = PathOf(name);
  const auto file = files::MappedFile::Open(path);
  if (!file.ok()) return file.status();
  auto embedding =
      segmenter::DecodeEmbedding((*file)->bytes(), spec_, std::numeric_limits<std::int64_t>::max());
  if (embedding.ok()) return embedding;
  return absl::DataLossError(absl::StrCat(path, ": ", embedding.status().message()));
}

absl::Status KeptEmbeddings::Make(segmenter::SamNetwork& network, const cv::Mat& image,
                                  const std::string& name) const {
  const absl::StatusOr<segmenter::ImageEmbedding> embedding = EncodeImage(network, image);
  if (!embedding.ok()) return embedding.status();
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error) return absl::ErrnoToStatus(error.value(), absl::StrCat(folder_, ": cannot be made"));
  return files::WriteFile(PathOf(name), segmenter::EncodeEmbedding(*embedding));
}

}  // namespace trainer
