// What the attributes of a label config refer to in a task's data, as the editor looks it up.
#ifndef DUET_LABEL_STUDIO_TASK_DATA_H_
#define DUET_LABEL_STUDIO_TASK_DATA_H_

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <optional>
#include <string_view>

namespace label_studio {

// The value at a path such as "front.images[0]"; null if there is none. The whole text is tried as
// a field's name before it is read as a path.
const boost::json::value* FindInTask(const boost::json::object& data, std::string_view path);

// How far a path reaches from the beginning of `text`: letters, digits and "_.[]{}".
std::size_t PathLength(std::string_view text);

// "classes" of "$classes"; nothing if `attribute` is not a single reference to the task's data.
std::optional<std::string_view> PathOf(std::string_view attribute);

}  // namespace label_studio

#endif  // DUET_LABEL_STUDIO_TASK_DATA_H_
