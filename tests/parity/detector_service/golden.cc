#include "tests/parity/detector_service/golden.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <numbers>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>

#include "hash/sha256.h"
#include "vision/mask_rle.h"

namespace detector {
namespace {

float Largest(std::initializer_list<float> differences) {
  float largest = 0;
  for (const float difference : differences) largest = std::max(largest, std::abs(difference));
  return largest;
}

float Distance(const Detection& e, const Detection& f) {
  if (!e.rotated_box) {
    return Largest({e.box.x_min - f.box.x_min, e.box.y_min - f.box.y_min, e.box.x_max - f.box.x_max,
                    e.box.y_max - f.box.y_max});
  }
  if (!f.rotated_box) return std::numeric_limits<float>::infinity();
  constexpr float kRadians = 2e-3F;
  const auto& a = *e.rotated_box;
  const auto& b = *f.rotated_box;
  if (std::abs(std::remainder(a.angle - b.angle, std::numbers::pi_v<float>)) > kRadians) {
    return std::numeric_limits<float>::infinity();
  }
  return Largest(
      {a.center.x - b.center.x, a.center.y - b.center.y, a.width - b.width, a.height - b.height});
}

bool MasksAgree(const Detection& expected, const Detection& found) {
  constexpr double kIou = 0.99;
  constexpr int kIouFromPixels = 200;
  constexpr int kPixels = 5;
  if (!expected.mask) return true;
  if (!found.mask || !(expected.mask->size == found.mask->size)) return false;
  const cv::Mat a = vision::ToPixels(*expected.mask), b = vision::ToPixels(*found.mask);
  const int area = cv::countNonZero(a);
  if (area < kIouFromPixels) return std::abs(area - cv::countNonZero(b)) <= kPixels;
  return cv::countNonZero(a & b) >= kIou * cv::countNonZero(a | b);
}

std::string Root() { return std::string(DUET_TEST_DATA) + "/detector/"; }

boost::json::value ReadJson(const std::string& path) {
  std::ifstream file(path);
  if (!file) {
    std::fprintf(stderr, "%s is missing\n", path.c_str());
    std::abort();
  }
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return boost::json::parse(text);
}

}  // namespace

Golden ReadGolden(const std::string& model) { return ReadGoldenIn(Root(), model); }

Golden ReadGoldenIn(const std::string& folder, const std::string& model) {
  const std::string root = folder + "/";
  const boost::json::value json = ReadJson(root + model + ".json");
  Golden golden{.checkpoint = root + model + ".pth",
                .maps = root + model + ".safetensors",
                .classes = boost::json::value_to<std::vector<std::string>>(json.at("classes"))};
  if (const auto* weights = json.as_object().if_contains("weights")) {  // another golden's
    golden.checkpoint = root + std::string(weights->as_string()) + ".pth";
    golden.config_file = root + model + ".py";
  }
  for (const boost::json::value& item : json.at("images").as_array()) {
    GoldenImage image;
    image.path = DUET_TEST_DATA "/detector/";
    image.path += item.at("file").as_string().c_str();
    image.scale_x = item.at("scale_factor").at(0).to_number<double>();
    image.scale_y = item.at("scale_factor").at(1).to_number<double>();
    image.input_sha256 = std::string(item.at("input_sha256").as_string());
    if (const auto* size = item.as_object().if_contains("input_size")) {
      image.input_size = {size->at(0).to_number<int>(), size->at(1).to_number<int>()};
    }
    const auto& boxes = item.at("bboxes").as_array();
    const auto* masks = item.as_object().if_contains("masks");
    for (std::size_t i = 0; i < boxes.size(); ++i) {
      const auto at = [&](int k) { return boxes[i].at(k).to_number<float>(); };
      Detection detection{.score = item.at("scores").at(i).to_number<float>(),
                          .class_id = item.at("labels").at(i).to_number<int>()};
      if (boxes[i].as_array().size() == 5) {
        detection.rotated_box = {{at(0), at(1)}, at(2), at(3), at(4)};
      } else {
        detection.box = {at(0), at(1), at(2), at(3)};
      }
      if (masks != nullptr && !masks->at(i).is_null()) {
        const cv::Mat pixels = ReadImage(image);
        detection.mask =
            vision::DecodeCocoRle({pixels.cols, pixels.rows}, std::string(masks->at(i).as_string()))
                .value();
      }
      image.detections.push_back(std::move(detection));
    }
    golden.images.push_back(std::move(image));
  }
  return golden;
}

std::map<std::string, GoldenLayer> ReadGoldenLayers(const std::string& model) {
  std::map<std::string, GoldenLayer> layers;
  const boost::json::value json = ReadJson(Root() + model + ".json");
  const boost::json::value* kept = json.as_object().if_contains("layers");
  if (kept == nullptr) return layers;
  for (const auto& [name, value] : kept->as_object()) {
    GoldenLayer& layer = layers[std::string(name)];
    layer.abs_sum = value.at("abs_sum").to_number<double>();
    for (const boost::json::value& pair : value.at("sample").as_array()) {
      layer.sample.emplace_back(pair.at(0).to_number<std::int64_t>(),
                                pair.at(1).to_number<float>());
    }
  }
  return layers;
}

cv::Mat ReadImage(const GoldenImage& image) { return cv::imread(image.path, cv::IMREAD_COLOR); }

std::string Sha256Hex(const void* data, std::size_t bytes) {
  return hash::Sha256Hex({static_cast<const char*>(data), bytes});
}

std::size_t CountMatches(const std::vector<Detection>& expected,
                         const std::vector<Detection>& found) {
  constexpr float kScore = 1e-3F;
  constexpr float kPixels = 0.1F;
  std::vector<bool> taken(found.size(), false);
  std::size_t matches = 0;
  for (const Detection& e : expected) {
    std::size_t best = found.size();
    float best_distance = kPixels;
    for (std::size_t i = 0; i < found.size(); ++i) {
      if (taken[i] || found[i].class_id != e.class_id) continue;
      if (std::abs(found[i].score - e.score) > kScore) continue;
      const float distance = Distance(e, found[i]);
      if (distance <= best_distance && MasksAgree(e, found[i])) {
        best_distance = distance;
        best = i;
      }
    }
    if (best == found.size()) continue;
    taken[best] = true;
    ++matches;
  }
  return matches;
}

void ExpectDetectionsOfTheReference(DetectionModel& model, const Golden& golden) {
  const DetectOptions as_the_reference{.score_threshold = model.evaluation_score_threshold(),
                                       .clip_to_image = false};
  for (const GoldenImage& image : golden.images) {
    const auto found = model.Detect(ReadImage(image), as_the_reference);
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_NEAR(found->size(), image.detections.size(), 0.01 * image.detections.size())
        << image.path;
    EXPECT_GE(CountMatches(image.detections, *found), 0.99 * image.detections.size()) << image.path;
  }
}

}  // namespace detector
