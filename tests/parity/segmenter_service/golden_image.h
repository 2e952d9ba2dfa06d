// One image of tests/data/segmenter/ with what the Python reference computed from it
// (tools/make_segmenter_fixtures.py says how the files are laid out).
#ifndef DUET_TESTS_PARITY_SEGMENTER_SERVICE_GOLDEN_IMAGE_H_
#define DUET_TESTS_PARITY_SEGMENTER_SERVICE_GOLDEN_IMAGE_H_

#include <absl/types/span.h>
#include <gtest/gtest.h>

#include <cstddef>
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

// Values [1, C, rows, columns] of one of the embedding's maps: of each plane the rows from `row` on
// and the columns from `column` on, every `stride`-th.
struct GoldenMap {
  std::size_t index = 0;  // in Embedding::maps
  int row = 0, column = 0, stride = 1;
  GoldenTensor tensor;
};

struct GoldenPrompts {
  std::string name;
  bool multimask = false;
  bool hq_token_only = false;   // HQ-SAM, asked with this option
  bool no_dynamic = false;      // SAM 2, without dynamic_multimask_via_stability
  std::vector<Prompt> prompts;  // original pixels; more than one are a batch
  GoldenTensor iou;             // [prompts, masks]
  GoldenTensor logits;          // [prompts, masks, 256 / stride, 256 / stride]
  int logits_stride = 1;        // 4: every fourth value, from the second on
  cv::Mat first_mask;           // CV_8UC1, of the first prompt's first answer
};

// One value of the input's planes.
struct GoldenSample {
  int channel, y, x;
  double value;
};

struct GoldenImage {
  std::string checkpoint;  // path; a sidecar lies beside it if it needs one
  std::string file;        // path of the image
  cv::Mat bgr;
  vision::Size resized;
  std::string input_sha256;  // of the float32 planes
  std::vector<GoldenSample> input_samples;
  std::vector<GoldenMap> maps;
  std::vector<GoldenPrompts> prompts;
};

// All of them, as ReadGoldenImage and a test's name want them. sam: a landscape, a portrait, a
// strip.
inline constexpr const char* kGoldenImages[] = {"sam/a0",        "sam/a1",        "sam/a2",
                                                "mobile_sam/a0", "hq/a0",         "hq_tiny/a0",
                                                "sam2.1_a/s2a0", "sam2.1_a/s2a1", "sam2.0_a/s2a0"};
std::string GoldenTestName(const testing::TestParamInfo<const char*>& info);

// `name`: "<model>/<image>" as in goldens.json. Dies if a file is missing: the fixtures are part
// of the repository.
GoldenImage ReadGoldenImage(const std::string& name);

// Tolerances: the same reference in float32 and in float64 differs by up to 2.2e-5 in embeddings,
// 2.5e-4 in logits (whose deviation is about 6), 3e-7 in IoU scores and 19 mask pixels. About five
// times that, rounded.
inline constexpr double kEmbeddingTolerance = 1e-4;
inline constexpr double kLogitTolerance = 1e-3;
inline constexpr double kIouTolerance = 1e-5;
inline constexpr double kMaskIou = 0.9999;

// The text of the file beside the checkpoint, which may say otherwise that SAM 2 answers with its
// best mask where the single one is unstable.
std::string ReadSidecar(const GoldenImage& golden, bool dynamic_multimask);

// Of what isn't 0.
double MaskIou(const cv::Mat& a, const cv::Mat& b);

// The largest difference to those that were recorded. `logits` [prompts, masks, size, size].
double LogitError(absl::Span<const float> logits, std::size_t size, const GoldenPrompts& golden);

}  // namespace segmenter

#endif  // DUET_TESTS_PARITY_SEGMENTER_SERVICE_GOLDEN_IMAGE_H_
