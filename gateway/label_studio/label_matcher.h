// LabelMatcher says which label of a control stands for a class of the model.
//
// In this order: the label's value exactly; the value with case, spaces, underscores and hyphens
// folded
// ("baseball bat" is "baseball_bat", "Airplane" is "airplane" if no exact one exists); the label's
// alias; its predicted_values; the profile's label map (class name → label value). The first label
// in document order wins. A class that nothing matches is dropped by the caller.
#ifndef DUET_GATEWAY_LABEL_STUDIO_LABEL_MATCHER_H_
#define DUET_GATEWAY_LABEL_STUDIO_LABEL_MATCHER_H_

#include <absl/container/flat_hash_map.h>

#include <optional>
#include <string>
#include <string_view>

#include "gateway/label_studio/label_config.h"

namespace gateway::label_studio {

// From a profile: the model's class name → the label's value.
using LabelMap = absl::flat_hash_map<std::string, std::string>;

class LabelMatcher {
 public:
  // Copies what it needs. Thread-safe once made.
  LabelMatcher(const Control& control, const LabelMap& label_map);

  // The label's value as the config spells it; nullopt if the control has no label for this class.
  std::optional<std::string> Match(std::string_view class_name) const;

 private:
  absl::flat_hash_map<std::string, std::string> exact_;  // value → value
  absl::flat_hash_map<std::string, std::string>
      folded_;  // folded by any of the later rules → value
};

}  // namespace gateway::label_studio

#endif  // DUET_GATEWAY_LABEL_STUDIO_LABEL_MATCHER_H_
