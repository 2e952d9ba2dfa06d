// What the Python reference computed, from tests/data/detector (made by
// tools/make_detector_fixtures.py).
#ifndef DUET_TESTS_PARITY_DETECTOR_SERVICE_GOLDEN_H_
#define DUET_TESTS_PARITY_DETECTOR_SERVICE_GOLDEN_H_

#include <cstdint>
#include <map>
#include <opencv2/core/mat.hpp>
#include <string>
#include <utility>
#include <vector>

#include "detector_service/inference/detection_model.h"
#include "detector_service/inference/postprocess.h"

namespace detector {

struct GoldenImage {
  std::string path;
  double scale_x = 0;
  double scale_y = 0;
  std::string input_sha256;  // of [3, H, W] float32
  vision::Size input_size;   // {0, 0} in some goldens
  // Rotated ones have no `box`. Not all masks of large images are kept.
  std::vector<Detection> detections;
};

struct Golden {
  std::string checkpoint;   // path
  std::string config_file;  // path of the config to use instead of the checkpoint's; may be empty
  std::string maps;         // path of the first image's maps, safetensors
  std::vector<std::string> classes;
  std::vector<GoldenImage> images;
};

// A model by the name of its files. Ends the process if the files are not there.
Golden ReadGolden(const std::string& model);
// The same from another folder than tests/data/detector; images are still there.
Golden ReadGoldenIn(const std::string& folder, const std::string& model);

// What a block of the network gave for the first image.
struct GoldenLayer {
  double abs_sum = 0;
  std::vector<std::pair<std::int64_t, float>> sample;  // index in [1, C, H, W], value
};
// By the block's name in the state. Empty for models whose maps are kept instead.
std::map<std::string, GoldenLayer> ReadGoldenLayers(const std::string& model);

cv::Mat ReadImage(const GoldenImage& image);

std::string Sha256Hex(const void* data, std::size_t bytes);

// How many of `expected` have a partner of their own in `found`: same class, score within 1e-3,
// every side (of rotated boxes: centre, width and height) within 0.1 px, the angle within 2e-3
// modulo half a turn; where a mask is expected, of an IoU of 0.99 from 200 px on, else as large
// within 5 px. That is ten times what float32 differs from float64 on these (random) weights; of
// masks, four times.
std::size_t CountMatches(const std::vector<Detection>& expected,
                         const std::vector<Detection>& found);

// Expects of each image of the golden as many detections as the reference found, with its own
// threshold and unclipped, and that 99 of a hundred match: one may be another where float32 and
// float64 already disagree.
void ExpectDetectionsOfTheReference(DetectionModel& model, const Golden& golden);

}  // namespace detector

#endif  // DUET_TESTS_PARITY_DETECTOR_SERVICE_GOLDEN_H_
