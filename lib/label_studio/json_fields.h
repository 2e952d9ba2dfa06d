// Fields of JSON that somebody else wrote: what is absent or of another type reads as nothing.
#ifndef DUET_LABEL_STUDIO_JSON_FIELDS_H_
#define DUET_LABEL_STUDIO_JSON_FIELDS_H_

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace label_studio {

// Absent if `value`, which may be null, is no number or not a finite one.
std::optional<double> FiniteNumber(const boost::json::value* value);

// "" if it is absent or no text. Points into `object`.
std::string_view TextField(const boost::json::object& object, std::string_view field);

// The numbers of `list` up to the first element that is none from 0 to 255.
std::vector<std::uint8_t> LeadingBytes(const boost::json::array& list);

// "a boolean", "a list", for errors.
std::string_view KindName(const boost::json::value& value);

}  // namespace label_studio

#endif  // DUET_LABEL_STUDIO_JSON_FIELDS_H_
