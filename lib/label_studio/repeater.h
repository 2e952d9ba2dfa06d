// <Repeater on="$pages" indexFlag="{{idx}}">: a part of a label config that the editor writes once
// for each element of a list in the task's data, with the flag replaced by the element's index.
#ifndef DUET_LABEL_STUDIO_REPEATER_H_
#define DUET_LABEL_STUDIO_REPEATER_H_

#include <absl/status/statusor.h>

#include <boost/json/object.hpp>
#include <cstddef>

namespace pugi {
class xml_document;
}

namespace label_studio {

struct RepeaterLimits {
  std::size_t max_elements = 100'000;  // that all repeaters of a config write together
  // Memory of these, with their attributes and whatever is within them.
  std::size_t max_bytes = 32'000'000;
};

// Replaces all repeaters by what they stand for in a task with this data; with null, in a task with
// one element in each list. True if there was one. InvalidArgument names the repeater and the field
// if the task has no such list, or if a limit would be exceeded.
absl::StatusOr<bool> ExpandRepeaters(const boost::json::object* data, const RepeaterLimits& limits,
                                     pugi::xml_document* document);

}  // namespace label_studio

#endif  // DUET_LABEL_STUDIO_REPEATER_H_
