#include "dataset/split.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include "hash/sha256.h"

namespace dataset {
namespace {

// Not a class that a data set can have: those are not empty.
constexpr std::string_view kNoObjects = "";

struct Counts {
  int images = 0;
  int validation = 0;  // of them, so far
};

}  // namespace

Sides SplitImages(const std::vector<SplitImage>& images, double validation_share,
                  const Sides& former) {
  // Each image once, with the classes of all its samples, in an order that nobody chooses.
  std::map<std::string, std::set<std::string>> classes_of;
  for (const SplitImage& image : images) {
    classes_of[image.identity].insert(image.classes.begin(), image.classes.end());
  }
  std::vector<std::pair<std::string, std::string>> fresh;  // hash, identity
  std::map<std::string, Counts> counts;
  for (auto& [identity, classes] : classes_of) {
    if (classes.empty()) classes.emplace(kNoObjects);
    const auto side = former.find(identity);
    if (side == former.end()) fresh.emplace_back(hash::Sha256Hex(identity), identity);
    for (const std::string& name : classes) {
      ++counts[name].images;
      counts[name].validation += side != former.end() && side->second == Side::kValidation;
    }
  }
  std::sort(fresh.begin(), fresh.end());

  // Rare classes first: the images of frequent ones leave more choice.
  std::vector<std::pair<int, std::string>> order;
  for (const auto& [name, count] : counts) order.emplace_back(count.images, name);
  std::sort(order.begin(), order.end());
  Sides sides = former;
  for (const auto& [total, name] : order) {
    int wanted = static_cast<int>(std::lround(validation_share * total));
    if (validation_share > 0 && total >= 2) wanted = std::clamp(wanted, 1, total - 1);
    int missing = wanted - counts[name].validation;
    for (const auto& [digest, identity] : fresh) {
      if (sides.contains(identity) || !classes_of[identity].contains(name)) continue;
      const bool validates = missing > 0;
      sides.emplace(identity, validates ? Side::kValidation : Side::kTrain);
      if (!validates) continue;
      --missing;
      for (const std::string& other : classes_of[identity]) ++counts[other].validation;
    }
  }
  return sides;
}

}  // namespace dataset
