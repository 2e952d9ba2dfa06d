// A label config, then everything that is made from one.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "label_studio/result.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace ls = label_studio;
  const auto config = ls::ParseLabelConfig({reinterpret_cast<const char*>(data), size});
  if (!config.ok()) return 0;
  for (const ls::ImageTag& image : config->images) {
    (void)ls::ImageUris(image, {{"image", "/a.jpg"}});
    const auto plan = ls::EmissionPlan::Make(*config, image, {}, {{"cat", "dog"}});
    ls::Object object;
    object.class_name = "cat";
    object.box = {1, 1, 5, 5};
    object.mask = vision::Mask{{8, 8}, {{1, 1, 5}, {2, 1, 5}}};
    ls::MakeRegions(plan, {8, 8}, {object});
  }
  return 0;
}
