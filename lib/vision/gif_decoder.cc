#include "vision/gif_decoder.h"

#include <absl/strings/str_cat.h>
#include <gif_lib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <vector>

namespace vision {
namespace {

constexpr int kOpaque = NO_TRANSPARENT_COLOR;

struct Source {
  std::string_view rest;
  bool in_pixels = false;  // what is read is blocks: a length, then so many bytes
};

int Read(GifFileType* gif, GifByteType* to, int count) {
  auto* const source = static_cast<Source*>(gif->UserData);
  std::string_view& rest = source->rest;
  const std::size_t taken = std::min(rest.size(), static_cast<std::size_t>(count));
  std::memcpy(to, rest.data(), taken);
  rest.remove_prefix(taken);
  // giflib uses nothing of a block that the file's end cuts off: the block is said to be shorter.
  if (source->in_pixels && count == 1 && taken == 1 && *to > rest.size()) {
    *to = static_cast<GifByteType>(rest.size());
  }
  return static_cast<int>(taken);
}

struct CloseGif {
  void operator()(GifFileType* gif) const { DGifCloseFile(gif, nullptr); }
};
using Gif = std::unique_ptr<GifFileType, CloseGif>;

absl::Status ErrorOf(int code) {
  if (code == D_GIF_ERR_NOT_ENOUGH_MEM) {
    return absl::ResourceExhaustedError("no memory to decode the GIF");
  }
  const char* const message = GifErrorString(code);
  return absl::InvalidArgumentError(
      absl::StrCat("the GIF cannot be decoded: ", message != nullptr ? message : "it is damaged"));
}

// Goes on to the first frame's pixels and returns which index is transparent, or kOpaque.
absl::StatusOr<int> FindFirstFrame(GifFileType* gif) {
  int transparent = kOpaque;
  while (true) {
    GifRecordType record;
    if (DGifGetRecordType(gif, &record) == GIF_ERROR) return ErrorOf(gif->Error);
    if (record == IMAGE_DESC_RECORD_TYPE) {
      if (DGifGetImageDesc(gif) == GIF_ERROR) return ErrorOf(gif->Error);
      return transparent;
    }
    if (record != EXTENSION_RECORD_TYPE) {
      return absl::InvalidArgumentError("the GIF holds no image");
    }
    int code = 0;
    GifByteType* block = nullptr;  // its length, then its bytes; null after the last one
    if (DGifGetExtension(gif, &code, &block) == GIF_ERROR) return ErrorOf(gif->Error);
    while (block != nullptr) {
      GraphicsControlBlock control;
      if (code == GRAPHICS_EXT_FUNC_CODE &&
          DGifExtensionToGCB(block[0], block + 1, &control) == GIF_OK) {
        transparent = control.TransparentColor;
      }
      if (DGifGetExtensionNext(gif, &block) == GIF_ERROR) return ErrorOf(gif->Error);
    }
  }
}

// The colour of each index. As in Pillow, what a palette leaves out is black, and without any
// palette an index is a grey value.
using Palette = std::array<cv::Vec3b, 256>;
Palette PaletteOf(const GifFileType& gif) {
  Palette palette{};
  const ColorMapObject* const colors =
      gif.Image.ColorMap != nullptr ? gif.Image.ColorMap : gif.SColorMap;
  if (colors == nullptr) {
    for (int i = 0; i < 256; ++i) palette[i] = cv::Vec3b::all(static_cast<std::uint8_t>(i));
    return palette;
  }
  for (int i = 0; i < std::min(colors->ColorCount, 256); ++i) {
    const GifColorType& color = colors->Colors[i];
    palette[i] = {color.Blue, color.Green, color.Red};
  }
  return palette;
}

// The order in which a frame's rows are stored.
std::vector<int> RowOrder(int height, bool interlaced) {
  std::vector<int> order;
  order.reserve(static_cast<std::size_t>(height));
  const auto pass = [&](int first, int step) {
    for (int y = first; y < height; y += step) order.push_back(y);
  };
  if (interlaced) {
    pass(0, 8);
    pass(4, 8);
    pass(2, 4);
    pass(1, 2);
  } else {
    pass(0, 1);
  }
  return order;
}

// Fills `frame`; false if the file ends or is damaged before all rows are there.
bool ReadRows(GifFileType* gif, const Palette& palette, std::uint8_t fill, cv::Mat frame) {
  std::vector<std::uint8_t> indices(static_cast<std::size_t>(frame.cols), fill);
  const std::vector<int> order = RowOrder(frame.rows, gif->Image.Interlace);
  for (std::size_t i = 0; i < order.size(); ++i) {
    const bool whole = DGifGetLine(gif, indices.data(), frame.cols) == GIF_OK;
    auto* const row = frame.ptr<cv::Vec3b>(order[i]);
    for (int x = 0; x < frame.cols; ++x) row[x] = palette[indices[static_cast<std::size_t>(x)]];
    if (whole) {
      std::fill(indices.begin(), indices.end(), fill);
      continue;
    }
    if (gif->Image.Interlace) {
      // As browsers do, a row that is missing between others repeats the one above it.
      std::vector<bool> there(static_cast<std::size_t>(frame.rows));
      for (std::size_t j = 0; j <= i; ++j) there[static_cast<std::size_t>(order[j])] = true;
      for (int y = 1; y < frame.rows; ++y) {
        if (!there[static_cast<std::size_t>(y)]) frame.row(y - 1).copyTo(frame.row(y));
      }
    }
    return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<DecodedImage> DecodeGif(std::string_view bytes, Size canvas) {
  int error = 0;
  Source source{.rest = bytes};
  const Gif gif(DGifOpen(&source, &Read, &error));
  if (gif == nullptr) return ErrorOf(error);
  const absl::StatusOr<int> transparent = FindFirstFrame(gif.get());
  if (!transparent.ok()) return transparent.status();
  const cv::Rect place(gif->Image.Left, gif->Image.Top, gif->Image.Width, gif->Image.Height);
  if (place.empty() || place.br().x > canvas.width || place.br().y > canvas.height) {
    return absl::InvalidArgumentError("the GIF's first frame is damaged");
  }
  const Palette palette = PaletteOf(*gif);
  const auto fill = static_cast<std::uint8_t>(*transparent == kOpaque ? 0 : *transparent);
  DecodedImage image;
  image.pixels.create(canvas.height, canvas.width, CV_8UC3);
  image.pixels.setTo(palette[fill]);
  source.in_pixels = true;
  if (!ReadRows(gif.get(), palette, fill, image.pixels(place))) {
    image.damage = "its first frame is cut off or damaged";
  }
  return image;
}

}  // namespace vision
