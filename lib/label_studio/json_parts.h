// JSON of which only named parts are kept.
//
// Label Studio sends whole projects, annotations and run lengths along, of which a few ids are
// needed. A document of values takes up to twenty times its text ("[[],[],..."), so what isn't
// wanted is checked and forgotten while it is read.
#ifndef DUET_LABEL_STUDIO_JSON_PARTS_H_
#define DUET_LABEL_STUDIO_JSON_PARTS_H_

#include <absl/status/statusor.h>

#include <boost/json/storage_ptr.hpp>
#include <boost/json/value.hpp>
#include <cstddef>
#include <limits>
#include <span>
#include <string_view>

namespace label_studio {

// A value that is kept if it is a number, a text or the like, or `whole`; else what is `inside`. Of
// a list whose elements aren't wanted, one null is kept if it has any.
struct JsonPart {
  std::string_view name = "";  // of an object's field; "": the elements of a list
  bool whole = false;
  std::span<const JsonPart> inside = {};
  std::size_t max_elements =
      std::numeric_limits<std::size_t>::max();  // of a list; others aren't kept
};

// The parts of `text` that `root` names. What is kept takes `memory`. InvalidArgument if it isn't
// JSON or is nested deeper than `max_depth`, ResourceExhausted if `memory` throws std::bad_alloc.
absl::StatusOr<boost::json::value> ParseJsonParts(std::string_view text, const JsonPart& root,
                                                  int max_depth, boost::json::storage_ptr memory);

// Bytes that a value takes besides itself, about.
std::size_t MemoryOf(const boost::json::value& value);

}  // namespace label_studio

#endif  // DUET_LABEL_STUDIO_JSON_PARTS_H_
