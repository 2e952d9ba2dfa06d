// A config's text, then everything that is read from one.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "detector_service/config/class_names.h"
#include "detector_service/config/detector_settings.h"
#include "detector_service/config/network_settings.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace detector;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)FindBases(text);
  PythonConfig config = ParsePythonConfig(text);
  (void)Canonical(config.values);
  for (const PostprocessRule rule : {PostprocessRule::kMmdet, PostprocessRule::kMmyolo}) {
    (void)ReadSettings(config, {.rule = rule});
    (void)ReadNetworkSettings(config, rule);
  }
  (void)ChooseClassNames({}, {}, config, 3, false);
  // The text over itself as its base.
  PythonScope scope;
  scope.base = Unshared(config.values);
  (void)Merge(ParsePythonConfig(text, scope).values, scope.base);
  return 0;
}
