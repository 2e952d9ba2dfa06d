#include "vision/mask_rle.h"

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>

namespace vision {
namespace {

absl::Status CheckSize(Size size) {
  if (size.width <= 0 || size.height <= 0 ||
      static_cast<std::int64_t>(size.width) * size.height > kMaxMaskPixels) {
    return absl::InvalidArgumentError(absl::StrCat("a mask of ", size.width, "x", size.height,
                                                   "; from 1x1 to ", kMaxMaskPixels,
                                                   " pixels are accepted"));
  }
  return absl::OkStatus();
}

absl::Status WrongSum(Size size, std::uint64_t sum) {
  return absl::InvalidArgumentError(absl::StrCat("run lengths of a mask sum to ", sum, ", not to ",
                                                 size.width, "x", size.height));
}

absl::Status TooManySpans() {
  return absl::InvalidArgumentError(absl::StrCat("a mask of more than ", kMaxMaskSpans, " spans"));
}

// Appends the pixels [begin, end), numbered row by row, which follow all that `mask` has.
void AppendRun(std::int64_t begin, std::int64_t end, Mask& mask) {
  const std::int64_t width = mask.size.width;
  while (begin < end) {
    const std::int64_t y = begin / width;
    const std::int64_t row_end = std::min(end, (y + 1) * width);
    const auto x_begin = static_cast<std::int32_t>(begin - y * width);
    const auto x_end = static_cast<std::int32_t>(row_end - y * width);
    // A run may follow another after an empty one between them.
    if (!mask.spans.empty() && mask.spans.back().y == y && mask.spans.back().x_end == x_begin) {
      mask.spans.back().x_end = x_end;
    } else {
      mask.spans.push_back({static_cast<std::int32_t>(y), x_begin, x_end});
    }
    begin = row_end;
  }
}

// COCO's code of a number: five bits a character from the lowest up, bit 5: more follow, plus 48.
// Sign-extended.
void AppendCocoNumber(std::int64_t value, std::string& out) {
  bool more = true;
  while (more) {
    std::int64_t character = value & 0x1f;
    value >>= 5;
    more = (character & 0x10) != 0 ? value != -1 : value != 0;
    if (more) character |= 0x20;
    out += static_cast<char>(character + 48);
  }
}

// Removes one number from the front of `counts`. None for a character outside of the code, for more
// than 32 bits and if `counts` ends within the number.
std::optional<std::int64_t> TakeCocoNumber(std::string_view& counts) {
  std::int64_t value = 0;
  for (int shift = 0; shift <= 30 && !counts.empty(); shift += 5) {
    const int character = static_cast<unsigned char>(counts.front()) - 48;
    if (character < 0 || character > 0x3f) return std::nullopt;
    counts.remove_prefix(1);
    value |= static_cast<std::int64_t>(character & 0x1f) << shift;
    if ((character & 0x20) == 0) {
      if ((character & 0x10) != 0) value |= -(std::int64_t{1} << (shift + 5));
      return value;
    }
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::uint32_t> EncodeRowRuns(const Mask& mask) {
  std::vector<std::uint32_t> runs;
  runs.reserve(2 * mask.spans.size() + 1);
  const std::int64_t width = mask.size.width;
  std::int64_t covered = 0;
  for (const Span& span : mask.spans) {
    const std::int64_t begin = span.y * width + span.x_begin;
    const auto length = static_cast<std::uint32_t>(span.x_end - span.x_begin);
    if (begin == covered && !runs.empty()) {
      runs.back() += length;  // goes on from the end of the row above
    } else {
      runs.push_back(static_cast<std::uint32_t>(begin - covered));
      runs.push_back(length);
    }
    covered = begin + length;
  }
  const std::int64_t total = width * mask.size.height;
  if (covered < total || runs.empty()) runs.push_back(static_cast<std::uint32_t>(total - covered));
  return runs;
}

absl::StatusOr<Mask> DecodeRowRuns(Size size, absl::Span<const std::uint32_t> runs) {
  if (absl::Status status = CheckSize(size); !status.ok()) return status;
  const std::int64_t total = static_cast<std::int64_t>(size.width) * size.height;
  Mask mask{.size = size, .spans = {}};
  std::int64_t position = 0;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const std::int64_t end = position + runs[i];
    if (end > total) return WrongSum(size, static_cast<std::uint64_t>(end));
    if (i % 2 == 1) AppendRun(position, end, mask);
    if (mask.spans.size() > kMaxMaskSpans) return TooManySpans();
    position = end;
  }
  if (position != total) return WrongSum(size, static_cast<std::uint64_t>(position));
  return mask;
}

std::string EncodeCocoRle(const Mask& mask) {
  const std::vector<std::uint32_t> runs = EncodeRowRuns(Transpose(mask));
  std::string counts;
  counts.reserve(2 * runs.size());
  for (std::size_t i = 0; i < runs.size(); ++i) {
    // From the fourth on, lengths are differences to the ones a column before, which are small.
    const std::int64_t base = i > 2 ? runs[i - 2] : 0;
    AppendCocoNumber(std::int64_t{runs[i]} - base, counts);
  }
  return counts;
}

absl::StatusOr<Mask> DecodeCocoRle(Size size, std::string_view counts) {
  if (absl::Status status = CheckSize(size); !status.ok()) return status;
  std::vector<std::uint32_t> runs;
  std::string_view rest = counts;
  while (!rest.empty()) {
    const std::optional<std::int64_t> number = TakeCocoNumber(rest);
    const std::int64_t base = runs.size() > 2 ? runs[runs.size() - 2] : 0;
    if (!number.has_value() || *number + base < 0 || *number + base > kMaxMaskPixels) {
      return absl::InvalidArgumentError(absl::StrCat("not COCO's compressed run lengths: run ",
                                                     runs.size(), " before character ",
                                                     counts.size() - rest.size()));
    }
    runs.push_back(static_cast<std::uint32_t>(*number + base));
  }
  absl::StatusOr<Mask> columns = DecodeRowRuns({size.height, size.width}, runs);
  if (!columns.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(columns.status().message(), " (its columns as rows)"));
  }
  std::optional<Mask> mask = TransposeWithin(*columns, kMaxMaskSpans);
  if (!mask.has_value()) return TooManySpans();
  return *std::move(mask);
}

}  // namespace vision
