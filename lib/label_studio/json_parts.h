// JSON of which only named parts are kept.
//
// Label Studio sends whole projects, annotations and run lengths, of which Duet needs a few ids. A
// parsed document takes up to twenty times the memory of its text ("[[],[],..."), so parts that
// aren't named are checked while they are read, but not kept.
#ifndef DUET_LABEL_STUDIO_JSON_PARTS_H_
#define DUET_LABEL_STUDIO_JSON_PARTS_H_

#include <absl/status/statusor.h>

#include <boost/json/object.hpp>
#include <boost/json/storage_ptr.hpp>
#include <boost/json/value.hpp>
#include <cstddef>
#include <limits>
#include <span>
#include <string_view>

namespace label_studio {

// Names a value. A number, text, boolean or null is kept as it is, and so is an object or list if
// `whole`. Otherwise of an object or list only the parts `inside` are kept; a list whose elements
// no part names keeps one null if it isn't empty.
struct JsonPart {
  std::string_view name = "";  // of an object's field; "": the elements of a list
  bool whole = false;
  std::span<const JsonPart> inside = {};
  // Of a list; others aren't kept.
  std::size_t max_elements = std::numeric_limits<std::size_t>::max();
};

// The parts of `text` that `root` names, allocated in `memory`. What Python writes beyond JSON is
// read (python_json.h). `name` says in errors what the text is. InvalidArgument if the text isn't
// JSON or is nested deeper than `max_depth`, ResourceExhausted if `memory` throws std::bad_alloc.
absl::StatusOr<boost::json::value> ParseJsonParts(std::string_view text, const JsonPart& root,
                                                  int max_depth, boost::json::storage_ptr memory,
                                                  std::string_view name = "the body");

// The fields of an object that `fields` name; otherwise as ParseJsonParts. InvalidArgument, too, if
// the text is no object.
absl::StatusOr<boost::json::object> ParseJsonObject(std::string_view text,
                                                    std::span<const JsonPart> fields, int max_depth,
                                                    boost::json::storage_ptr memory,
                                                    std::string_view name = "the body");

// Bytes that a value takes besides itself, about.
std::size_t MemoryOf(const boost::json::value& value);

}  // namespace label_studio

#endif  // DUET_LABEL_STUDIO_JSON_PARTS_H_
