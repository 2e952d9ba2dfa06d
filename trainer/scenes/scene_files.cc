#include "trainer/scenes/scene_files.h"

#include <absl/strings/str_cat.h>

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <utility>

namespace trainer {
namespace {

boost::json::object Describe(const SceneObject& object) {
  const cv::Rect box = cv::boundingRect(object.mask);
  return {{"label", ShapeNames()[static_cast<int>(object.shape)]},
          {"box", boost::json::array{box.x, box.y, box.br().x, box.br().y}},
          {"area", cv::countNonZero(object.mask)}};
}

}  // namespace

absl::Status WriteScene(const Scene& scene, const std::string& directory, const std::string& name) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) return absl::UnavailableError(absl::StrCat(directory, ": ", error.message()));

  cv::Mat masks = cv::Mat::zeros(scene.image.size(), CV_8UC1);
  boost::json::array objects;
  for (const SceneObject& object : scene.objects) {
    objects.push_back(Describe(object));
    masks.setTo(cv::Scalar(static_cast<double>(objects.size())), object.mask);
  }
  const boost::json::object truth{{"image", name + ".jpg"},
                                  {"masks", name + ".masks.png"},
                                  {"width", scene.image.cols},
                                  {"height", scene.image.rows},
                                  {"objects", std::move(objects)}};

  const std::string stem = directory + "/" + name;
  std::ofstream json(stem + ".json");
  json << boost::json::serialize(truth) << '\n';
  json.close();
  if (!json || !cv::imwrite(stem + ".jpg", scene.image, {cv::IMWRITE_JPEG_QUALITY, 95}) ||
      !cv::imwrite(stem + ".masks.png", masks)) {
    return absl::UnavailableError(
        absl::StrCat(stem, ".*: cannot be written; is the disk full or read-only?"));
  }
  return absl::OkStatus();
}

}  // namespace trainer
