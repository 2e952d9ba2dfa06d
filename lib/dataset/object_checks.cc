#include "dataset/object_checks.h"

#include <absl/container/flat_hash_set.h>

#include "text/str_cat.h"

namespace dataset {

// Written so that NaN is empty.
bool IsEmpty(const vision::Box& box) { return !(box.width() > 0 && box.height() > 0); }

absl::Status CheckClasses(const std::vector<std::string>& classes) {
  absl::flat_hash_set<std::string> seen;
  for (const std::string& name : classes) {
    if (name.empty()) return absl::InvalidArgumentError("a class has no name; give it one");
    if (!seen.insert(name).second) {
      return absl::InvalidArgumentError(
          text::StrCat("there are two classes '", name, "'; each needs a name of its own"));
    }
  }
  return absl::OkStatus();
}

}  // namespace dataset
