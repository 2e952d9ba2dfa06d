// LabelMatcher says which label of a group stands for a class of the model.
//
// In this order:
//
//   1. the label's value exactly
//   2. the value with case, spaces, underscores and hyphens folded ("baseball bat" is
//      "baseball_bat"; "Airplane" is "airplane" if no exact one exists)
//   3. the label's alias
//   4. its predicted_values
//   5. the profile's label map (class name → label value)
//
// The first label in document order wins. A class that nothing matches is dropped by the caller.
#ifndef DUET_LABEL_STUDIO_LABEL_MATCHER_H_
#define DUET_LABEL_STUDIO_LABEL_MATCHER_H_

#include <absl/container/flat_hash_map.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "label_studio/label_config.h"

namespace label_studio {

// From a profile: the model's class name → the label's value.
using LabelMap = absl::flat_hash_map<std::string, std::string>;

// Refers to the group's labels and copies no text, since a project may have a hundred thousand
// labels: a label that has only a value takes 12 bytes.
class LabelMatcher {
 public:
  // `group` outlives it. Thread-safe once it is constructed.
  LabelMatcher(const LabelGroup& group, const LabelMap& label_map);

  // Null if the group has no label for this class.
  const Label* Match(std::string_view class_name) const;

  // The first label that is written so into regions; null if there is none.
  const Label* FindWritten(std::string_view text) const;
  // The first label that is written so or has this value; null if there is none.
  const Label* FindWrittenOrValue(std::string_view text) const;

 private:
  // A text that stands for a label.
  struct Name {
    std::uint32_t label;  // index
    std::uint32_t which;  // 0: its value, 1: its alias, 2…: its predicted_values
  };
  std::string_view TextOf(const Name& name) const;
  // The label's index.
  std::optional<std::uint32_t> Find(std::string_view class_name) const;
  // The first label of those with a name like `text` that `accept` takes.
  template <typename Accept>
  const Label* FirstNamed(std::string_view text, Accept accept) const;

  const std::vector<Label>& labels_;
  std::vector<std::uint32_t> by_value_;  // labels, sorted by value
  std::vector<Name> by_name_;            // sorted by folded text, then by rule
  std::vector<std::pair<std::string, std::uint32_t>> mapped_;  // class → label, sorted likewise
};

}  // namespace label_studio

#endif  // DUET_LABEL_STUDIO_LABEL_MATCHER_H_
