// A large JSON file, one element at a time: COCO's annotations of 118,000 images are 450 MB of
// text, whose document would take ten times that.
#ifndef DUET_DATASET_JSON_ELEMENTS_H_
#define DUET_DATASET_JSON_ELEMENTS_H_

#include <absl/functional/function_ref.h>
#include <absl/status/status.h>

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dataset {

// A part of a file's outermost object or list.
struct JsonElement {
  // The field of the outermost object; "" if the outermost value is a list.
  std::string_view field;
  // True: an element of a list, either the outermost one or the field's. False: the field's value,
  // which is not a list.
  bool of_list = false;
  const boost::json::value& value;  // until the callback returns
};

// Calls `on_element` for the parts of `text` in order, and passes on its first error. What Python
// writes beyond JSON is read (label_studio/python_json.h): NaN as null.
// InvalidArgument if the text is not JSON, has neither object nor list outermost, or is nested
// deeper than 64; ResourceExhausted if one element takes more than 1 GiB of memory.
absl::Status ReadJsonElements(std::string_view text,
                              absl::FunctionRef<absl::Status(const JsonElement&)> on_element);

// Fields of objects, for readers of untrusted files; texts: label_studio/json_fields.h.
//
// A finite number; none if the field is missing or something else.
std::optional<double> NumberField(const boost::json::object& object, std::string_view name);
// An id, which may be a whole number or a text: "17" for 17. "" if there is none.
std::string IdField(const boost::json::object& object, std::string_view name);
// True for true and for numbers other than 0.
bool TrueField(const boost::json::object& object, std::string_view name);

}  // namespace dataset

#endif  // DUET_DATASET_JSON_ELEMENTS_H_
