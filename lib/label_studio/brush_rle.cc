#include "label_studio/brush_rle.h"

#include <absl/status/status.h>

#include <algorithm>
#include <array>
#include <string>

#include "text/str_cat.h"
#include "vision/mask_rle.h"

namespace label_studio {
namespace {

// Most significant bit first, as rle-pack writes.
class BitWriter {
 public:
  explicit BitWriter(std::vector<std::uint8_t>* bytes) : bytes_(bytes) {}

  // REQUIRES: bits <= 32 and value < 2^bits.
  void Write(std::uint64_t value, int bits) {
    pending_ = pending_ << bits | value;
    pending_bits_ += bits;
    while (pending_bits_ >= 8) {
      pending_bits_ -= 8;
      bytes_->push_back(static_cast<std::uint8_t>(pending_ >> pending_bits_));
    }
  }

  // The SDK pads even what is aligned: then a whole byte of zeros follows.
  void Pad() { Write(0, 8 - pending_bits_); }

 private:
  std::vector<std::uint8_t>* bytes_;
  std::uint64_t pending_ = 0;  // only the low pending_bits_ count; fewer than 8 between calls
  int pending_bits_ = 0;
};

class BitReader {
 public:
  explicit BitReader(absl::Span<const std::uint8_t> bytes) : bytes_(bytes) {}

  std::uint64_t remaining() const { return bytes_.size() * 8 - at_; }

  // REQUIRES: bits <= 32 and bits <= remaining().
  std::uint32_t Read(int bits) {
    std::uint64_t value = 0;
    const std::uint64_t end = at_ + bits;
    while (at_ < end) {
      const int in_byte = 8 - static_cast<int>(at_ % 8);
      const int take = std::min<int>(in_byte, static_cast<int>(end - at_));
      const std::uint32_t byte = bytes_[at_ / 8];
      value = value << take | ((byte >> (in_byte - take)) & ((1u << take) - 1));
      at_ += take;
    }
    return static_cast<std::uint32_t>(value);
  }

 private:
  absl::Span<const std::uint8_t> bytes_;
  std::uint64_t at_ = 0;  // bit
};

constexpr int kWordBits = 8;
constexpr std::array<int, 4> kCountBits = {3, 4, 8, 16};

// One block: flag 1 (a repeated value), which count size, the count less one, the value. `length`
// in 2..65536.
void WriteRepeat(std::uint64_t length, std::uint64_t value, int size_index, BitWriter* writer) {
  const int bits = kCountBits[size_index];
  writer->Write((4u | size_index) << bits | (length - 1), 3 + bits);
  writer->Write(value, kWordBits);
}

}  // namespace

std::vector<std::uint8_t> EncodeBrushRle(const vision::Mask& mask) {
  std::vector<std::uint8_t> bytes;
  bytes.reserve(16 + mask.spans.size() * 5);
  BitWriter writer(&bytes);
  writer.Write(static_cast<std::uint64_t>(mask.size.width) * mask.size.height * 4, 32);
  writer.Write(kWordBits - 1, 5);
  for (const int bits : kCountBits) writer.Write(bits - 1, 4);

  // Runs cross row ends: positions are of the flat image.
  const auto write_run = [&](std::uint64_t pixels, std::uint64_t value) {
    std::uint64_t length = pixels * 4;  // red, green, blue and alpha alike
    if (length == 0) return;
    if (length <= 8) {
      WriteRepeat(length, value, 0, &writer);
    } else if (length <= 16) {
      WriteRepeat(length, value, 1, &writer);
    } else if (length <= 256) {
      WriteRepeat(length, value, 2, &writer);
    } else {
      for (; length > 65536; length -= 65536) WriteRepeat(65536, value, 3, &writer);
      WriteRepeat(length, value, 3, &writer);
    }
  };
  const auto width = static_cast<std::uint64_t>(mask.size.width);
  std::uint64_t run_begin = 0;
  std::uint64_t run_end = 0;  // of the foreground run not yet written
  for (const vision::Span& span : mask.spans) {
    const std::uint64_t begin = span.y * width + span.x_begin;
    if (begin != run_end) {  // otherwise it goes on from the end of the row above
      write_run(run_end - run_begin, 255);
      write_run(begin - run_end, 0);
      run_begin = begin;
    }
    run_end = span.y * width + span.x_end;
  }
  write_run(run_end - run_begin, 255);
  write_run(width * mask.size.height - run_end, 0);
  writer.Pad();
  return bytes;
}

absl::StatusOr<vision::Mask> DecodeBrushRle(absl::Span<const std::uint8_t> rle, vision::Size size) {
  const absl::Status cut_off =
      absl::InvalidArgumentError(text::StrCat("brush RLE: cut off after ", rle.size(), " bytes"));
  if (size.width <= 0 || size.height <= 0 ||
      static_cast<std::int64_t>(size.width) * size.height >= (std::int64_t{1} << 30)) {
    return absl::InvalidArgumentError(text::StrCat("brush RLE: an image of ", size.width, "x",
                                                   size.height, "; needed: 1 to 2^30 pixels"));
  }
  BitReader reader(rle);
  if (reader.remaining() < 53) return cut_off;
  const std::uint64_t total = reader.Read(32);
  const int word_bits = static_cast<int>(reader.Read(5)) + 1;
  std::array<int, 4> count_bits;
  for (int& bits : count_bits) bits = static_cast<int>(reader.Read(4)) + 1;
  const std::uint64_t pixels = static_cast<std::uint64_t>(size.width) * size.height;
  if (total != pixels * 4) {
    return absl::InvalidArgumentError(text::StrCat("brush RLE: holds ", total,
                                                   " values; needed: 4 a pixel of ", size.width,
                                                   "x", size.height));
  }

  vision::Mask mask;
  mask.size = size;
  bool last = false;            // value of the run being followed
  std::uint64_t run_begin = 0;  // pixel
  // A foreground run, cut at row ends.
  const auto add_run = [&](std::uint64_t begin, std::uint64_t end) {
    const auto width = static_cast<std::uint64_t>(size.width);
    while (begin < end) {
      const std::uint64_t y = begin / width;
      const std::uint64_t stop = std::min(end, (y + 1) * width);
      mask.spans.push_back({static_cast<std::int32_t>(y),
                            static_cast<std::int32_t>(begin - y * width),
                            static_cast<std::int32_t>(stop - y * width)});
      begin = stop;
    }
  };
  // Pixels from `pixel` on have `value` until the next call.
  const auto set_from = [&](std::uint64_t pixel, bool value) {
    if (value == last) return;
    if (last) add_run(run_begin, pixel);
    run_begin = pixel;
    last = value;
  };
  for (std::uint64_t at = 0; at < total;) {
    if (mask.spans.size() > vision::kMaxMaskSpans) {
      return absl::InvalidArgumentError(
          text::StrCat("brush RLE: more than ", vision::kMaxMaskSpans, " spans"));
    }
    if (reader.remaining() < 3) return cut_off;
    const bool repeat = reader.Read(1) == 1;
    const int bits = count_bits[reader.Read(2)];
    if (reader.remaining() < static_cast<std::uint64_t>(bits)) return cut_off;
    const std::uint64_t length = std::uint64_t{reader.Read(bits)} + 1;
    if (length > total - at) {
      return absl::InvalidArgumentError(
          text::StrCat("brush RLE: a block ends after the image's ", total, " values"));
    }
    const std::uint64_t words = repeat ? 1 : length;
    if (reader.remaining() < words * word_bits) return cut_off;
    if (repeat) {
      const bool value = reader.Read(word_bits) != 0;
      // The pixels whose alpha, value 4·k + 3, lies in the block: k >= (at - 3) / 4, rounded up.
      const std::uint64_t first = at / 4;
      if ((at + length) / 4 > first) set_from(first, value);
      at += length;
    } else {
      for (const std::uint64_t end = at + length; at < end; ++at) {
        const bool value = reader.Read(word_bits) != 0;
        if (at % 4 == 3) set_from(at / 4, value);
      }
    }
  }
  set_from(pixels, false);
  return mask;
}

}  // namespace label_studio
