#include "tests/parity/detector_service/golden.h"

#include <openssl/sha.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <opencv2/imgcodecs.hpp>

namespace detector {
namespace {

float SideDistance(const vision::Box& a, const vision::Box& b) {
  return std::max({std::abs(a.x_min - b.x_min), std::abs(a.y_min - b.y_min),
                   std::abs(a.x_max - b.x_max), std::abs(a.y_max - b.y_max)});
}

}  // namespace

Golden ReadGolden(const std::string& model) {
  const std::string root = std::string(DUET_TEST_DATA) + "/detector/";
  std::ifstream file(root + model + ".json");
  if (!file) {
    std::fprintf(stderr, "%s%s.json is missing\n", root.c_str(), model.c_str());
    std::abort();
  }
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const boost::json::value json = boost::json::parse(text);
  Golden golden{.checkpoint = root + model + ".pth",
                .maps = root + model + ".safetensors",
                .classes = boost::json::value_to<std::vector<std::string>>(json.at("classes"))};
  for (const boost::json::value& item : json.at("images").as_array()) {
    GoldenImage image;
    image.path = root + std::string(item.at("file").as_string());
    image.scale_x = item.at("scale_factor").at(0).to_number<double>();
    image.scale_y = item.at("scale_factor").at(1).to_number<double>();
    image.input_sha256 = std::string(item.at("input_sha256").as_string());
    const auto& boxes = item.at("bboxes").as_array();
    for (std::size_t i = 0; i < boxes.size(); ++i) {
      const auto side = [&](int k) { return boxes[i].at(k).to_number<float>(); };
      image.detections.push_back({.box = {side(0), side(1), side(2), side(3)},
                                  .score = item.at("scores").at(i).to_number<float>(),
                                  .class_id = item.at("labels").at(i).to_number<int>()});
    }
    golden.images.push_back(std::move(image));
  }
  return golden;
}

cv::Mat ReadPicture(const GoldenImage& image) { return cv::imread(image.path, cv::IMREAD_COLOR); }

std::string Sha256Hex(const void* data, std::size_t bytes) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(static_cast<const unsigned char*>(data), bytes, digest);
  std::string hex;
  for (unsigned char byte : digest) {
    char two[3];
    std::snprintf(two, sizeof(two), "%02x", byte);
    hex += two;
  }
  return hex;
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
      const float distance = SideDistance(found[i].box, e.box);
      if (distance <= best_distance) {
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

}  // namespace detector
