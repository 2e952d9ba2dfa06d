#include "trainer/run/make_batch.h"

#include <ATen/Functions.h>

#include <cstddef>
#include <cstdint>
#include <utility>

#include "detector_service/inference/preprocess.h"

namespace trainer {

Batch MakeBatch(std::vector<TrainingImage> images, const detector::DetectorSettings& settings) {
  const vision::Size size{images.front().image.cols, images.front().image.rows};
  Batch batch{
      .images = at::empty({static_cast<std::int64_t>(images.size()), 3, size.height, size.width}),
      .objects = {}};
  const std::size_t stride =
      std::size_t{3} * static_cast<std::size_t>(size.width) * static_cast<std::size_t>(size.height);
  for (std::size_t i = 0; i < images.size(); ++i) {
    detector::Normalize(images[i].image, settings, size,
                        batch.images.data_ptr<float>() + i * stride);
    batch.objects.push_back(std::move(images[i].objects));
  }
  return batch;
}

}  // namespace trainer
