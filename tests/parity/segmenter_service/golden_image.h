// One picture of tests/data/segmenter/ with what the Python reference computed from it
// (tools/make_segmenter_fixtures.py says how the files are laid out).
#ifndef DUET_TESTS_PARITY_SEGMENTER_SERVICE_GOLDEN_IMAGE_H_
#define DUET_TESTS_PARITY_SEGMENTER_SERVICE_GOLDEN_IMAGE_H_

#include <opencv2/core/mat.hpp>
#include <optional>
#include <string>
#include <vector>

#include "segmenter_service/inference/prompt.h"

namespace segmenter {

// Values of a tensor, as double, with its shape.
struct GoldenTensor {
  std::vector<std::int64_t> shape;
  std::vector<double> values;
};

struct GoldenPrompts {
  std::string name;
  bool multimask = false;
  std::vector<Prompt> prompts;  // original pixels; more than one are a batch
  GoldenTensor iou;             // [prompts, masks]
  GoldenTensor logits;          // [prompts, masks, 256 / stride, 256 / stride]
  int logits_stride = 1;        // 4: every fourth value, from the second on
  cv::Mat first_mask;           // CV_8UC1, of the first prompt's first answer
};

struct GoldenImage {
  std::string name;
  cv::Mat bgr;
  vision::Size resized;
  std::string input_sha256;  // of the float32 planes
  GoldenTensor embedding;
  int embedding_stride = 1;  // 4: every fourth row and column
  std::vector<GoldenPrompts> prompts;
};

// Dies if a file is missing: the fixtures are part of the repository.
GoldenImage ReadGoldenImage(const std::string& name);

}  // namespace segmenter

#endif  // DUET_TESTS_PARITY_SEGMENTER_SERVICE_GOLDEN_IMAGE_H_
