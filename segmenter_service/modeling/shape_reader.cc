#include "segmenter_service/modeling/shape_reader.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include <algorithm>
#include <utility>

namespace segmenter {
namespace {

// Above what any known network has; a file with more is damaged or hostile.
constexpr std::int64_t kMaxChannels = 16384;

std::string Text(const Shape& shape) { return absl::StrCat("[", absl::StrJoin(shape, "x"), "]"); }

// Bytes of memory that the tensors really stand for. Strides may let a small file claim any shape.
std::int64_t BackedBytes(const checkpoint::StateDict& state_dict) {
  std::vector<std::pair<const std::byte*, const std::byte*>> spans;
  for (const auto& [name, view] : state_dict) {
    if (view.NumElements() == 0) continue;
    std::int64_t last = 0;
    for (std::size_t i = 0; i < view.shape.size(); ++i) {
      last += (view.shape[i] - 1) * view.strides[i];
    }
    spans.emplace_back(view.data,
                       view.data + (last + 1) * static_cast<std::int64_t>(SizeOf(view.dtype)));
  }
  std::sort(spans.begin(), spans.end());
  std::int64_t bytes = 0;
  const std::byte* end = nullptr;
  for (const auto& [from, to] : spans) {
    if (to <= end) continue;
    bytes += to - std::max(from, end);
    end = to;
  }
  return bytes;
}

}  // namespace

ShapeReader::ShapeReader(const checkpoint::StateDict& state_dict)
    : state_dict_(state_dict), tensors_(state_dict) {}

const Shape* ShapeReader::Find(absl::string_view name) const {
  const checkpoint::TensorView* view = tensors_.Find({name.data(), name.size()});
  return view == nullptr ? nullptr : &view->shape;
}

Shape ShapeReader::Read(const std::string& name, const std::vector<absl::string_view>& dims) {
  const Shape* const found = Find(name);
  const Shape fallback(dims.size(), 1);
  if (found == nullptr) {
    SetError(absl::StrCat("tensor '", name, "' is missing; Segment Anything needs it"));
    return fallback;
  }
  const Shape& shape = *found;
  const bool sane = std::all_of(shape.begin(), shape.end(),
                                [](std::int64_t size) { return size > 0 && size <= kMaxChannels; });
  if (shape.size() != dims.size() || !sane) {
    SetError(absl::StrCat("tensor '", name, "' is ", Text(shape), " but should be [",
                          absl::StrJoin(dims, "x"), "]"));
    return fallback;
  }
  return shape;
}

void ShapeReader::Require(bool condition, absl::string_view name, absl::string_view needed) {
  if (condition) return;
  const Shape* const found = Find(name);
  SetError(absl::StrCat("tensor '", name, "' is ", found == nullptr ? "missing" : Text(*found),
                        " but ", needed));
}

void ShapeReader::RequireBacked(std::int64_t weights) {
  if (!status_.ok()) return;
  const std::int64_t bytes = BackedBytes(state_dict_);
  if (weights <= bytes) return;
  SetError(absl::StrCat("the shapes claim ", weights, " weights, more than the file's ", bytes,
                        " bytes of tensors can hold"));
}

void ShapeReader::SetError(std::string message) {
  if (status_.ok()) status_ = absl::InvalidArgumentError(message);
}

}  // namespace segmenter
