// An export of Label Studio, with and without a label config.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "dataset/label_studio_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::string config =
      "<View><Image name='image' value='$image'/><RectangleLabels name='box' toName='image'>"
      "<Label value='cat' alias='c'/></RectangleLabels></View>";
  const std::string_view json(reinterpret_cast<const char*>(data), size);
  dataset::Findings findings;
  (void)dataset::ReadLabelStudio(json, {.label_config = config}, &findings);
  const auto read = dataset::ReadLabelStudio(json, {.unlabeled_class = "thing"}, &findings);
  if (!read.ok()) return 0;
  for (const dataset::Sample& sample : read->samples) {
    for (const dataset::Object& object : sample.objects) {
      // Written so that NaN aborts.
      const bool inside = object.box.x_min >= 0 && object.box.y_min >= 0 &&
                          object.box.x_max <= static_cast<float>(sample.size.width) &&
                          object.box.y_max <= static_cast<float>(sample.size.height) &&
                          object.box.width() > 0 && object.box.height() > 0;
      const bool fits = !object.mask || object.mask->size == sample.size;
      if (!inside || !fits) std::abort();
    }
  }
  return 0;
}
