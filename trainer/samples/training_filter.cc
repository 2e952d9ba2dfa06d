#include "trainer/samples/training_filter.h"

#include <algorithm>
#include <vector>

#include "text/str_cat.h"

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

}  // namespace

void FilterForTraining(const TrainingFilter& filter, dataset::Dataset* dataset,
                       dataset::Findings* findings) {
  std::erase_if(dataset->samples, [&](dataset::Sample& sample) {
    if (!Check(filter, sample, findings)) return true;
    std::erase_if(sample.objects, [&](const dataset::Object& object) {
      const bool small = object.box.width() < 1 || object.box.height() < 1 || object.area <= 0;
      if (small) {
        findings->Add("objects of less than a pixel, left out of the training",
                      text::StrCat("of '", sample.image, "'"));
      }
      return small;
    });
    return false;
  });
}

}  // namespace trainer
