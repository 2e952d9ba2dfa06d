// What Python's json module writes and JSON doesn't know.
//
// Half of a surrogate pair ("\ud83d"), where a text was cut within a character, is read as U+FFFD.
// NaN, Infinity and -Infinity, where numbers are missing or an annotator's program divided by zero,
// are read as null: whoever needs a number finds that there is none.
#ifndef DUET_LABEL_STUDIO_PYTHON_JSON_H_
#define DUET_LABEL_STUDIO_PYTHON_JSON_H_

#include <boost/json/error.hpp>
#include <cstddef>
#include <optional>
#include <string_view>

namespace label_studio {

// A part of a text, and what is read instead.
struct JsonReplacement {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::string_view by;
};

// Finds them in order.
class PythonJson {
 public:
  // `text` outlives this.
  explicit PythonJson(std::string_view text);

  // The next part that JSON doesn't know; nothing if there is no further one.
  std::optional<JsonReplacement> Next();

 private:
  std::optional<JsonReplacement> NextInString();

  const std::string_view text_;
  bool may_have_any_;  // most texts have none, which is found out quickly
  bool in_string_ = false;
  std::size_t at_ = 0;
};

// Writes `text` to a basic_parser of Boost.JSON's. Returns how much of it was read, which is all
// unless there is an error.
template <typename Parser>
std::size_t WritePythonJson(std::string_view text, Parser& parser, boost::json::error_code& error) {
  PythonJson finder(text);
  std::size_t read = 0;
  for (;;) {
    const std::optional<JsonReplacement> next = finder.Next();
    const std::string_view piece = text.substr(read, next ? next->begin - read : text.npos);
    const std::size_t written =
        parser.write_some(next.has_value(), piece.data(), piece.size(), error);
    if (!error && written < piece.size()) error = boost::json::error::extra_data;
    if (error || !next) return read + written;
    read += written;
    const std::size_t replaced = parser.write_some(true, next->by.data(), next->by.size(), error);
    if (!error && replaced < next->by.size()) error = boost::json::error::extra_data;
    if (error) return read;
    read = next->end;
  }
}

}  // namespace label_studio

#endif  // DUET_LABEL_STUDIO_PYTHON_JSON_H_
