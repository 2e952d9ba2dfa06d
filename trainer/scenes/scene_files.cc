#include "trainer/scenes/scene_files.h"

#include <absl/strings/str_cat.h>

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <utility>

#include "dataset/coco_writer.h"
#include "dataset/sample.h"
#include "files/atomic_file.h"
#include "vision/mask.h"

namespace trainer {
namespace {

boost::json::object Describe(const SceneObject& object) {
  const cv::Rect box = cv::boundingRect(object.mask);
  return {{"label", NameOf(object.shape)},
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

absl::Status WriteSceneAnnotations(const std::vector<Scene>& scenes,
                                   const std::vector<std::string>& names, const std::string& path) {
  dataset::Dataset drawn{.classes = ShapeNames(), .samples = {}};
  for (std::size_t i = 0; i < scenes.size(); ++i) {
    dataset::Sample& sample = drawn.samples.emplace_back();
    sample.id = absl::StrCat(i + 1);
    sample.image = names[i] + ".jpg";
    sample.size = {scenes[i].image.cols, scenes[i].image.rows};
    for (const SceneObject& shape : scenes[i].objects) {
      const auto known = std::find(drawn.classes.begin(), drawn.classes.end(), NameOf(shape.shape));
      dataset::Object& object = sample.objects.emplace_back();
      object.class_index = static_cast<int>(known - drawn.classes.begin());
      if (known == drawn.classes.end()) drawn.classes.push_back(NameOf(shape.shape));
      object.box = shape.box;
      object.mask = vision::MaskFromPixels(shape.mask);
      object.area = cv::countNonZero(shape.mask);
    }
  }
  dataset::Findings none;
  return files::WriteFile(path, dataset::WriteCoco(drawn, {}, &none) + "\n");
}

absl::Status WriteAnnotatedScenes(const std::vector<Scene>& scenes, const std::string& directory) {
  std::vector<std::string> names;
  for (const Scene& scene : scenes) {
    names.push_back(absl::StrCat("scene_", names.size()));
    const absl::Status status = WriteScene(scene, directory, names.back());
    if (!status.ok()) return status;
  }
  return WriteSceneAnnotations(scenes, names, directory + "/coco.json");
}

}  // namespace trainer
