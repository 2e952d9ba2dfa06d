#include "segmenter_service/modeling/sidecar.h"

#include <absl/strings/str_cat.h>

#include <boost/json.hpp>
#include <utility>

namespace segmenter {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxNumbers = 1024;

bool ReadInt(const json::value& value, std::int64_t from, std::int64_t to, std::int64_t* out) {
  if (!value.is_int64() || value.get_int64() < from || value.get_int64() > to) return false;
  *out = value.get_int64();
  return true;
}

}  // namespace

Sidecar::Sidecar(absl::string_view text) {
  if (text.empty()) return;
  json::error_code error;
  json::value value = json::parse({text.data(), text.size()}, error);
  if (error) {
    status_ =
        absl::InvalidArgumentError(absl::StrCat("the sidecar file is no JSON: ", error.message()));
  } else if (!value.is_object()) {
    status_ = absl::InvalidArgumentError("the sidecar file must be a JSON object");
  } else {
    object_ = std::move(value.get_object());
  }
}

void Sidecar::Read(absl::string_view key, std::int64_t from, std::int64_t to, std::int64_t* value) {
  const json::value* found = object_.if_contains({key.data(), key.size()});
  if (found == nullptr || ReadInt(*found, from, to, value)) return;
  SetError(key, absl::StrCat("a whole number from ", from, " to ", to));
}

void Sidecar::Read(absl::string_view key, std::size_t size, std::int64_t from, std::int64_t to,
                   std::vector<std::int64_t>* value) {
  const json::value* found = object_.if_contains({key.data(), key.size()});
  if (found == nullptr) return;
  const json::array* array = found->if_array();
  bool fits =
      array != nullptr && (size == 0 ? array->size() <= kMaxNumbers : array->size() == size);
  std::vector<std::int64_t> numbers(fits ? array->size() : 0);
  for (std::size_t i = 0; fits && i < numbers.size(); ++i) {
    fits = ReadInt((*array)[i], from, to, &numbers[i]);
  }
  if (fits) {
    *value = std::move(numbers);
    return;
  }
  SetError(key, absl::StrCat("a list of ", size == 0 ? "" : absl::StrCat(size, " "),
                             "whole numbers from ", from, " to ", to));
}

void Sidecar::Read(absl::string_view key, float* value) {
  const json::value* found = object_.if_contains({key.data(), key.size()});
  if (found == nullptr) return;
  if (!found->is_number()) return SetError(key, "a number");
  *value = found->to_number<float>();
}

void Sidecar::Read(absl::string_view key, bool* value) {
  const json::value* found = object_.if_contains({key.data(), key.size()});
  if (found == nullptr) return;
  if (!found->is_bool()) return SetError(key, "true or false");
  *value = found->get_bool();
}

void Sidecar::SetError(absl::string_view key, absl::string_view needed) {
  if (!status_.ok()) return;
  status_ = absl::InvalidArgumentError(
      absl::StrCat("the sidecar file's \"", key, "\" is ",
                   json::serialize(object_.at({key.data(), key.size()})), "; it must be ", needed));
}

}  // namespace segmenter
