// A label config, then everything that is made from one.
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "label_studio/result.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace ls = label_studio;
  const std::string_view xml(reinterpret_cast<const char*>(data), size);
  auto config = ls::ParseLabelConfig(xml);
  if (!config.ok()) return 0;
  const boost::json::object task = {{"image", "/a.jpg"},
                                    {"images", {"/a.jpg", "/b.jpg"}},
                                    {"classes", {"cat", boost::json::object{{"value", "dog"}}}}};
  if (config->depends_on_task) config = ls::ParseLabelConfig(xml, task);
  if (!config.ok()) return 0;
  const std::vector<std::string> classes = {"cat", "dog"};
  for (const ls::ImageTag& image : config->images) {
    (void)ls::ImageUris(image, task);
    const auto plan =
        ls::EmissionPlan::Make(*config, image, classes, {.label_map = {{"cat", "dog"}}});
    (void)plan.Describe();
    ls::Object object;
    object.class_name = "cat";
    object.box = {1, 1, 5, 5};
    object.mask = vision::Mask{{8, 8}, {{1, 1, 5}, {2, 1, 5}}};
    ls::MakeRegions(plan, {8, 8}, {object});
  }
  return 0;
}
