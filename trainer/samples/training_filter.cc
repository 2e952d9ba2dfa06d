#include "trainer/samples/training_filter.h"

#include <algorithm>
#include <vector>

#include "text/str_cat.h"
#include "vision/box.h"

namespace trainer {
namespace {

// Whether it stays.
bool Check(const TrainingFilter& filter, const dataset::Sample& sample,
           dataset::Findings* findings) {
  const std::string where = text::StrCat("'", sample.image, "'");
  if (filter.skip_empty && sample.objects.empty()) {
    findings->Add("images without objects, left out of the training", where);
    return false;
  }
  // A size that nobody knows yet is seen when the image is read.
  const int side = std::min(sample.size.width, sample.size.height);
  if (side > 0 && side < filter.min_side_px) {
    findings->Add(text::StrCat("images of less than ", filter.min_side_px,
                               " pixels in width or height, left out of the training"),
                  where);
    return false;
  }
  return true;
}

// Why mmdet doesn't learn from an object; null if it does. `clipped`: what of its box is in the
// image.
const char* WhyNot(const dataset::Object& object, const vision::Box& clipped) {
  if (object.ignore) return "objects marked 'ignore', left out of the training";
  const vision::Box& box = object.box;
  if (box.width() < 1 || box.height() < 1 || object.area <= 0) {
    return "objects of less than a pixel, left out of the training";
  }
  if (vision::BoxArea(clipped) <= 0)
    return "objects outside of their image, left out of the training";
  return nullptr;
}

void FilterObjects(dataset::Sample* sample, dataset::Findings* findings) {
  std::erase_if(sample->objects, [&](dataset::Object& object) {
    const bool known = sample->size != vision::Size{};
    const vision::Box clipped = known ? vision::Clip(object.box, sample->size) : object.box;
    const char* const why_not = WhyNot(object, clipped);
    if (why_not != nullptr) findings->Add(why_not, text::StrCat("of '", sample->image, "'"));
    object.box = clipped;
    return why_not != nullptr;
  });
}

}  // namespace

void FilterForTraining(const TrainingFilter& filter, dataset::Dataset* dataset,
                       dataset::Findings* findings) {
  std::erase_if(dataset->samples, [&](dataset::Sample& sample) {
    if (!Check(filter, sample, findings)) return true;
    FilterObjects(&sample, findings);
    return false;
  });
}

}  // namespace trainer
