#include "label_studio/json_parts.h"

#include <absl/status/status.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/object.hpp>
#include <boost/json/string.hpp>
#include <boost/json/value_stack.hpp>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "label_studio/json_fields.h"
#include "label_studio/python_json.h"
#include "text/str_cat.h"

namespace label_studio {
namespace {

namespace json = boost::json;

// What Boost.JSON's parser calls. Values that are kept go to a stack, out of which the library
// builds the document.
class PartsHandler {
 public:
  static constexpr std::size_t max_object_size = json::object::max_size();
  static constexpr std::size_t max_array_size = json::array::max_size();
  static constexpr std::size_t max_key_size = json::string::max_size();
  static constexpr std::size_t max_string_size = json::string::max_size();

  PartsHandler(const JsonPart& root, const json::storage_ptr& memory)
      : root_(root), stack_(memory) {
    stack_.reset(memory);
  }

  json::value Release() { return stack_.release(); }

  bool on_document_begin(json::error_code&) { return true; }
  bool on_document_end(json::error_code&) { return true; }
  bool on_array_begin(json::error_code&) { return Open(/*is_object=*/false); }
  bool on_array_end(std::size_t, json::error_code&) { return Close(); }
  bool on_object_begin(json::error_code&) { return Open(/*is_object=*/true); }
  bool on_object_end(std::size_t, json::error_code&) { return Close(); }

  bool on_key_part(json::string_view part, std::size_t, json::error_code&) {
    if (skipped_ > 0) return true;
    if (open_.back().part->whole) {
      stack_.push_chars(part);
    } else if (key_.size() <= kLongestName) {
      key_.append(part.data(), std::min(part.size(), kLongestName + 1));
    }
    return true;
  }
  bool on_key(json::string_view part, std::size_t size, json::error_code& error) {
    if (skipped_ > 0) return true;
    Opened& object = open_.back();
    if (object.part->whole) {
      stack_.push_key(part);
      return true;
    }
    on_key_part(part, size, error);
    const auto inside = object.part->inside;
    const auto found = std::find_if(inside.begin(), inside.end(), [this](const JsonPart& field) {
      return !field.name.empty() && field.name == key_;
    });
    object.field = found == inside.end() ? nullptr : &*found;
    if (object.field != nullptr) stack_.push_key(key_);
    key_.clear();
    return true;
  }

  bool on_string_part(json::string_view part, std::size_t, json::error_code&) {
    if (!std::exchange(in_string_, true)) keeps_string_ = Next() != nullptr;
    if (keeps_string_) stack_.push_chars(part);
    return true;
  }
  bool on_string(json::string_view part, std::size_t, json::error_code&) {
    if (!std::exchange(in_string_, false)) keeps_string_ = Next() != nullptr;
    if (keeps_string_) stack_.push_string(part);
    return true;
  }

  bool on_number_part(json::string_view, json::error_code&) { return true; }
  bool on_int64(std::int64_t number, json::string_view, json::error_code&) {
    if (Next() != nullptr) stack_.push_int64(number);
    return true;
  }
  bool on_uint64(std::uint64_t number, json::string_view, json::error_code&) {
    if (Next() != nullptr) stack_.push_uint64(number);
    return true;
  }
  bool on_double(double number, json::string_view, json::error_code&) {
    if (Next() != nullptr) stack_.push_double(number);
    return true;
  }
  bool on_bool(bool value, json::error_code&) {
    if (Next() != nullptr) stack_.push_bool(value);
    return true;
  }
  bool on_null(json::error_code&) {
    if (Next() != nullptr) stack_.push_null();
    return true;
  }
  bool on_comment_part(json::string_view, json::error_code&) { return true; }
  bool on_comment(json::string_view, json::error_code&) { return true; }

 private:
  static constexpr std::size_t kLongestName = 64;  // of a part

  // An object or list of which something is kept.
  struct Opened {
    const JsonPart* part;
    bool is_object;
    std::size_t kept = 0;             // values so far
    const JsonPart* field = nullptr;  // an object's current one; null if it isn't wanted
  };

  // The part that the value which begins now is; null if it isn't wanted.
  const JsonPart* Next() {
    if (skipped_ > 0) return nullptr;
    if (open_.empty()) return &root_;
    Opened& around = open_.back();
    const JsonPart* part = around.part;
    if (!part->whole) part = around.is_object ? around.field : ElementOf(around);
    if (part != nullptr) {
      ++around.kept;
    } else if (!around.is_object && around.kept == 0) {
      stack_.push_null();
      ++around.kept;
    }
    return part;
  }

  static const JsonPart* ElementOf(const Opened& list) {
    if (list.kept >= list.part->max_elements) return nullptr;
    const auto inside = list.part->inside;
    return inside.size() == 1 && inside.front().name.empty() ? &inside.front() : nullptr;
  }

  bool Open(bool is_object) {
    if (const JsonPart* part = Next()) {
      open_.push_back({part, is_object});
    } else {
      ++skipped_;
    }
    return true;
  }

  bool Close() {
    if (skipped_ > 0) {
      --skipped_;
      return true;
    }
    if (open_.back().is_object) {
      stack_.push_object(open_.back().kept);
    } else {
      stack_.push_array(open_.back().kept);
    }
    open_.pop_back();
    return true;
  }

  const JsonPart& root_;
  json::value_stack stack_;
  std::vector<Opened> open_;
  std::size_t skipped_ = 0;  // objects and lists around the current value that aren't kept
  std::string key_;          // of an object that isn't kept whole
  bool in_string_ = false;
  bool keeps_string_ = false;
};

}  // namespace

absl::StatusOr<json::value> ParseJsonParts(std::string_view text, const JsonPart& root,
                                           int max_depth, json::storage_ptr memory,
                                           std::string_view name) {
  json::parse_options options;
  options.max_depth = static_cast<std::size_t>(max_depth);
  json::error_code error;
  try {
    json::basic_parser<PartsHandler> parser(options, root, memory);
    const std::size_t read = WritePythonJson(text, parser, error);
    if (error) {
      return absl::InvalidArgumentError(
          text::StrCat(name, " is not JSON: ", error.message(), " near byte ", read));
    }
    return parser.handler().Release();
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(
        "the requests that are being answered take all the memory that there is for requests");
  }
}

absl::StatusOr<json::object> ParseJsonObject(std::string_view text,
                                             std::span<const JsonPart> fields, int max_depth,
                                             json::storage_ptr memory, std::string_view name) {
  auto parsed = ParseJsonParts(text, {.inside = fields}, max_depth, std::move(memory), name);
  if (!parsed.ok()) return parsed.status();
  if (!parsed->is_object()) {
    return absl::InvalidArgumentError(
        text::StrCat(name, " is ", KindName(*parsed), "; needed: an object"));
  }
  return std::move(parsed->get_object());
}

std::size_t MemoryOf(const json::value& value) {
  // A block of the allocator's, and what Boost.JSON keeps before a table.
  constexpr std::size_t kBlock = 32;
  if (const auto* text = value.if_string()) return text->capacity() + kBlock;
  if (const auto* list = value.if_array()) {
    std::size_t bytes = list->capacity() * sizeof(json::value) + kBlock;
    for (const json::value& element : *list) bytes += MemoryOf(element);
    return bytes;
  }
  if (const auto* object = value.if_object()) {
    std::size_t bytes =
        object->capacity() * (sizeof(json::key_value_pair) + sizeof(std::uint32_t)) + kBlock;
    for (const auto& [key, field] : *object) bytes += key.size() + kBlock + MemoryOf(field);
    return bytes;
  }
  return 0;
}

}  // namespace label_studio
