// Many decisions of the gate at once, on images drawn from a pool: what gate_curve.py counts.
//
// usage: gate_decisions POOL < JOBS > DECISIONS
//
// POOL is a folder with coco.json, and what each model has found on its images as MODEL.json,
// COCO's results. A job is a line "OLD NEW IMAGES SEED [ANNOTATIONS]": the two models, how many
// images of the pool are drawn, without replacement, the seed of the draw, and a file to use
// instead of coco.json. A decision is a line: what `duet-train compare --json` prints of these
// images.
#include <boost/json.hpp>
#include <fstream>
#include <iostream>
#include <map>
#include <numeric>
#include <sstream>
#include <string>
#include <utility>

#include "dataset/coco_reader.h"
#include "trainer/evaluate/coco_results.h"
#include "trainer/gate/compare_detections.h"
#include "trainer/scenes/random.h"

namespace {

std::string Read(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) throw std::runtime_error(path + ": cannot be read");
  return text.str();
}

struct Pool {
  std::string folder;
  std::map<std::string, dataset::Dataset> truths;                // by path
  std::map<std::string, trainer::DetectionsByImage> detections;  // by model

  const dataset::Dataset& Truth(const std::string& path) {
    const auto [at, is_new] = truths.try_emplace(path);
    if (is_new) {
      dataset::Findings findings;
      at->second = dataset::ReadCoco(Read(path), {.boxes_as_written = true}, &findings).value();
    }
    return at->second;
  }
  const trainer::DetectionsByImage& Found(const std::string& model) {
    const auto [at, is_new] = detections.try_emplace(model);
    if (is_new) {
      const std::string annotations = folder + "/coco.json";
      at->second = trainer::ReadCocoResults(Read(folder + "/" + model + ".json"), Read(annotations),
                                            Truth(annotations))
                       .value();
    }
    return at->second;
  }
};

std::vector<std::size_t> Draw(std::size_t pool, std::size_t count, std::uint64_t seed) {
  std::vector<std::size_t> images(pool);
  std::iota(images.begin(), images.end(), std::size_t{0});
  trainer::Random random(seed);
  for (std::size_t i = 0; i < count; ++i)
    std::swap(images[i], images[i + random.Next() % (pool - i)]);
  images.resize(count);
  return images;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  Pool pool{.folder = argv[1], .truths = {}, .detections = {}};
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string old_model;
    std::string new_model;
    std::size_t count = 0;
    std::uint64_t seed = 0;
    std::string annotations = pool.folder + "/coco.json";
    words >> old_model >> new_model >> count >> seed >> annotations;
    const dataset::Dataset& truth = pool.Truth(annotations);
    dataset::Dataset drawn{.classes = truth.classes, .samples = {}};
    trainer::DetectionsByImage of_old;
    trainer::DetectionsByImage of_new;
    for (const std::size_t image : Draw(truth.samples.size(), count, seed)) {
      drawn.samples.push_back(truth.samples[image]);
      of_old.push_back(pool.Found(old_model)[image]);
      of_new.push_back(pool.Found(new_model)[image]);
    }
    std::cout << boost::json::serialize(ToJson(CompareDetections(drawn, of_old, of_new, {})))
              << std::endl;
  }
}
