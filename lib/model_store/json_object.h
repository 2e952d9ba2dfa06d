// Fields of the small JSON files of a model root, which people may have edited. For this room only.
#ifndef DUET_MODEL_STORE_JSON_OBJECT_H_
#define DUET_MODEL_STORE_JSON_OBJECT_H_

#include <absl/status/statusor.h>

#include <boost/json/object.hpp>
#include <cstdint>
#include <string>
#include <string_view>

namespace model_store {

// DataLoss unless `text` is one JSON object.
absl::StatusOr<boost::json::object> ParseObject(std::string_view text);

// What is absent stays as it is. DataLoss, naming the field, for a value of another kind: a whole
// number has no sign, fraction or exponent and fits into 64 bits, a score is from 0 to 1.
absl::Status ReadField(const boost::json::object& object, std::string_view field,
                       std::uint64_t* value);
absl::Status ReadField(const boost::json::object& object, std::string_view field,
                       std::string* value);
absl::Status ReadField(const boost::json::object& object, std::string_view field, double* value);
absl::Status ReadField(const boost::json::object& object, std::string_view field, bool* value);

// Writes an object, a field a line, in the order of the calls.
class ObjectWriter {
 public:
  void Add(std::string_view field, std::string_view value);
  void Add(std::string_view field, std::uint64_t value);
  // `json`: the value's text.
  void AddJson(std::string_view field, std::string_view json);
  // Call once, last.
  std::string Finish();

 private:
  std::string text_ = "{";
};

// Quoted and escaped; bytes that are not UTF-8 become U+FFFD.
std::string Quoted(std::string_view text);

}  // namespace model_store

#endif  // DUET_MODEL_STORE_JSON_OBJECT_H_
