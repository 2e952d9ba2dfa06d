// Embeddings of the images of a training, in files: the encoder doesn't change, so it sees each
// image once, also over interruptions, and the system's cache keeps what memory there is for.
#ifndef DUET_TRAINER_SEGMENTER_KEPT_EMBEDDINGS_H_
#define DUET_TRAINER_SEGMENTER_KEPT_EMBEDDINGS_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <opencv2/core/mat.hpp>
#include <string>
#include <utility>

#include "segmenter_service/inference/embedding.h"
#include "segmenter_service/inference/sam_network.h"

namespace trainer {

// What `network` makes of the image (CV_8UC3, BGR).
absl::StatusOr<segmenter::ImageEmbedding> EncodeImage(segmenter::SamNetwork& network,
                                                      const cv::Mat& image);

class KeptEmbeddings {
 public:
  // `folder` is made, with those above it, when it is needed; it is for this encoder and its
  // arithmetic alone.
  KeptEmbeddings(std::string folder, segmenter::NetworkSpec spec)
      : folder_(std::move(folder)), spec_(std::move(spec)) {}

  // `name`: of a file, such as the image's hash. NotFound if it isn't kept; DataLoss, with the
  // path, if the file is damaged or of something else.
  absl::StatusOr<segmenter::ImageEmbedding> Read(const std::string& name) const;

  // Encodes the image (CV_8UC3, BGR) with `network`, which has the constructor's spec, and keeps
  // the result.
  absl::Status Make(segmenter::SamNetwork& network, const cv::Mat& image,
                    const std::string& name) const;

 private:
  std::string PathOf(const std::string& name) const { return folder_ + "/" + name; }

  const std::string folder_;
  const segmenter::NetworkSpec spec_;
};

}  // namespace trainer

#endif  // DUET_TRAINER_SEGMENTER_KEPT_EMBEDDINGS_H_
