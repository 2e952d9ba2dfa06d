#include "dataset/json_elements.h"

#include <absl/status/status.h>

#include <boost/json/array.hpp>
#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/memory_resource.hpp>
#include <boost/json/monotonic_resource.hpp>
#include <boost/json/string.hpp>
#include <boost/json/value_stack.hpp>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <new>
#include <vector>

#include "label_studio/json_fields.h"
#include "label_studio/python_json.h"
#include "text/str_cat.h"

namespace dataset {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxDepth = 64;
constexpr std::size_t kMaxElementBytes = std::size_t{1} << 30;

// The heap, up to a limit.
class LimitedHeap final : public json::memory_resource {
 protected:
  void* do_allocate(std::size_t bytes, std::size_t) override {
    if (bytes > kMaxElementBytes - used_) throw std::bad_alloc();
    auto* const block = static_cast<std::byte*>(::operator new(bytes + kHeader));
    std::memcpy(block, &bytes, sizeof bytes);
    used_ += bytes;
    return block + kHeader;
  }
  // Boost.JSON's monotonic_resource gives back less than it took, so the size isn't believed.
  void do_deallocate(void* memory, std::size_t, std::size_t) override {
    auto* const block = static_cast<std::byte*>(memory) - kHeader;
    std::size_t bytes = 0;
    std::memcpy(&bytes, block, sizeof bytes);
    used_ -= bytes;
    ::operator delete(block);
  }
  bool do_is_equal(const json::memory_resource& other) const noexcept override {
    return this == &other;
  }

 private:
  static constexpr std::size_t kHeader = alignof(std::max_align_t);  // holds the size
  std::size_t used_ = 0;
};

// What Boost.JSON's parser calls. Values of one element go to a stack, out of which the library
// builds it when it ends.
class ElementsHandler {
 public:
  static constexpr std::size_t max_object_size = json::object::max_size();
  static constexpr std::size_t max_array_size = json::array::max_size();
  static constexpr std::size_t max_key_size = json::string::max_size();
  static constexpr std::size_t max_string_size = json::string::max_size();

  explicit ElementsHandler(absl::FunctionRef<absl::Status(const JsonElement&)> on_element)
      : on_element_(on_element), stack_(json::storage_ptr(&heap_)) {
    Reset();
  }

  const absl::Status& status() const { return status_; }

  bool on_document_begin(json::error_code&) { return true; }
  bool on_document_end(json::error_code&) { return true; }
  bool on_object_begin(json::error_code&) { return Open(/*is_list=*/false); }
  bool on_array_begin(json::error_code&) { return Open(/*is_list=*/true); }
  bool on_object_end(std::size_t size, json::error_code& error) { return Close(size, error); }
  bool on_array_end(std::size_t size, json::error_code& error) { return Close(size, error); }

  bool on_key_part(json::string_view part, std::size_t, json::error_code&) {
    if (in_element()) {
      stack_.push_chars(part);
    } else {
      key_parts_.append(part.data(), part.size());
    }
    return true;
  }
  bool on_key(json::string_view part, std::size_t, json::error_code&) {
    if (in_element()) {
      stack_.push_key(part);
    } else {
      field_ = key_parts_;
      field_.append(part.data(), part.size());
      key_parts_.clear();
    }
    return true;
  }
  bool on_string_part(json::string_view part, std::size_t, json::error_code&) {
    stack_.push_chars(part);
    return true;
  }
  bool on_string(json::string_view part, std::size_t, json::error_code& error) {
    stack_.push_string(part);
    return Value(error);
  }
  bool on_number_part(json::string_view, json::error_code&) { return true; }
  bool on_int64(std::int64_t number, json::string_view, json::error_code& error) {
    stack_.push_int64(number);
    return Value(error);
  }
  bool on_uint64(std::uint64_t number, json::string_view, json::error_code& error) {
    stack_.push_uint64(number);
    return Value(error);
  }
  bool on_double(double number, json::string_view, json::error_code& error) {
    stack_.push_double(number);
    return Value(error);
  }
  bool on_bool(bool value, json::error_code& error) {
    stack_.push_bool(value);
    return Value(error);
  }
  bool on_null(json::error_code& error) {
    stack_.push_null();
    return Value(error);
  }
  bool on_comment_part(json::string_view, json::error_code&) { return true; }
  bool on_comment(json::string_view, json::error_code&) { return true; }

 private:
  // The outermost value, and a list that is a field of it, are taken apart; what is inside of them
  // are elements.
  bool TakenApart(bool is_list) const {
    return depth_ == 0 || (depth_ == 1 && !outermost_is_list_ && is_list);
  }
  bool in_element() const { return element_depth_ > 0; }

  bool Open(bool is_list) {
    if (in_element() || !TakenApart(is_list)) {
      ++element_depth_;
      is_list_.push_back(is_list);
      return true;
    }
    if (depth_ == 0) outermost_is_list_ = is_list;
    ++depth_;
    return true;
  }

  bool Close(std::size_t size, json::error_code& error) {
    if (!in_element()) {
      --depth_;
      return true;
    }
    if (is_list_.back()) {
      stack_.push_array(size);
    } else {
      stack_.push_object(size);
    }
    is_list_.pop_back();
    --element_depth_;
    return Value(error);
  }

  // A value has ended: an element, unless it is a part of one.
  bool Value(json::error_code& error) {
    if (in_element()) return true;
    if (depth_ == 0) {
      status_ = absl::InvalidArgumentError("not a JSON object or list");
    } else {
      const json::value value = stack_.release();
      const bool of_list = outermost_is_list_ || depth_ == 2;
      status_ = on_element_(
          {outermost_is_list_ ? std::string_view() : std::string_view(field_), of_list, value});
    }
    Reset();
    if (status_.ok()) return true;
    error = json::error::extra_data;  // any: status_ says it
    return false;
  }

  // A new arena each time: Boost's takes twice as much with each block, and doesn't forget that
  // when it is emptied.
  void Reset() {
    stack_.reset();
    memory_.emplace(buffer_.data(), buffer_.size(), json::storage_ptr(&heap_));
    stack_.reset(json::storage_ptr(&*memory_));
  }

  absl::FunctionRef<absl::Status(const JsonElement&)> on_element_;
  absl::Status status_;
  LimitedHeap heap_;
  std::vector<unsigned char> buffer_ = std::vector<unsigned char>(std::size_t{64} << 10);
  std::optional<json::monotonic_resource> memory_;  // of the element
  json::value_stack stack_;
  std::string field_;
  std::string key_parts_;
  bool outermost_is_list_ = false;
  int depth_ = 0;              // of what is taken apart
  int element_depth_ = 0;      // inside of an element
  std::vector<bool> is_list_;  // of the element's open values
};

// What an archive's first bytes say it is; "" for anything else.
std::string_view ArchiveFormat(std::string_view bytes) {
  if (bytes.starts_with("PK\x03\x04") || bytes.starts_with("PK\x05\x06")) return "zip";
  if (bytes.starts_with("\x1f\x8b")) return "gzip";
  return "";
}

}  // namespace

absl::Status ReadJsonElements(std::string_view text,
                              absl::FunctionRef<absl::Status(const JsonElement&)> on_element) {
  if (const std::string_view format = ArchiveFormat(text); !format.empty()) {
    return absl::InvalidArgumentError(text::StrCat(
        "is a ", format, " archive, not JSON: unpack it and name the .json file that is in it"));
  }
  json::parse_options options;
  options.max_depth = kMaxDepth;
  json::error_code error;
  try {
    json::basic_parser<ElementsHandler> parser(options, on_element);
    const std::size_t read = label_studio::WritePythonJson(text, parser, error);
    if (!parser.handler().status().ok()) return parser.handler().status();
    if (error) {
      return absl::InvalidArgumentError(
          text::StrCat("not JSON: ", error.message(), " near byte ", read));
    }
    return absl::OkStatus();
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("one element of the JSON takes more than 1 GiB of memory");
  }
}

std::optional<double> NumberField(const json::object& object, std::string_view name) {
  return label_studio::FiniteNumber(object.if_contains(name));
}

std::string IdField(const json::object& object, std::string_view name) {
  const json::value* const value = object.if_contains(name);
  if (value == nullptr) return "";
  if (value->is_int64()) return text::StrCat(value->get_int64());
  if (value->is_uint64()) return text::StrCat(value->get_uint64());
  // Some programs write 17.0.
  if (value->is_double() && std::abs(value->get_double()) < 1e15 &&
      std::floor(value->get_double()) == value->get_double()) {
    return text::StrCat(static_cast<std::int64_t>(value->get_double()));
  }
  return std::string(label_studio::TextField(object, name));
}

bool TrueField(const json::object& object, std::string_view name) {
  const json::value* const value = object.if_contains(name);
  if (value == nullptr) return false;
  if (value->is_bool()) return value->get_bool();
  return value->is_number() && value->to_number<double>() != 0;
}

}  // namespace dataset
