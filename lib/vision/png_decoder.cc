#include "vision/png_decoder.h"

#include <absl/strings/str_cat.h>
#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstdlib>
#include <cstring>

namespace vision {
namespace {

// libpng leaves by longjmp; no object with a destructor lives in the frames it skips, and no
// callback throws. What our own calls throw passes through Decode only, whose caller owns
// everything.
struct ReadState {
  std::string_view rest;
  char message[160] = "";
  bool no_memory = false;
  // How far it came, for when it leaves.
  enum { kHeader, kPixels, kEnd } stage = kHeader;
  int row = 0;  // in kPixels, unless interlaced: the last of which something is there
};

[[noreturn]] void OnError(png_structp png, png_const_charp message) {
  auto* state = static_cast<ReadState*>(png_get_error_ptr(png));
  std::strncpy(state->message, message, sizeof state->message - 1);
  png_longjmp(png, 1);
}

void OnWarning(png_structp, png_const_charp) {}

void Read(png_structp png, png_bytep to, std::size_t count) {
  auto* state = static_cast<ReadState*>(png_get_io_ptr(png));
  if (count > state->rest.size()) png_error(png, "the data ends early");
  std::memcpy(to, state->rest.data(), count);
  state->rest.remove_prefix(count);
}

png_voidp Allocate(png_structp png, png_alloc_size_t size) {
  void* const memory = std::malloc(size);
  if (memory == nullptr) static_cast<ReadState*>(png_get_mem_ptr(png))->no_memory = true;
  return memory;
}

void Free(png_structp, png_voidp memory) { std::free(memory); }

// libpng's state; released whichever way the frame ends.
struct Reader {
  png_structp png;
  png_infop info;

  explicit Reader(ReadState* state)
      : png(png_create_read_struct_2(PNG_LIBPNG_VER_STRING, state, &OnError, &OnWarning, state,
                                     &Allocate, &Free)),
        info(png == nullptr ? nullptr : png_create_info_struct(png)) {}
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
};

// Reads the pixels of all passes into `image`; a row that later passes complete is filled with what
// is known of it.
void ReadRows(png_structp png, int passes, cv::Mat* image, ReadState* state) {
  state->stage = ReadState::kPixels;
  if (passes > 1) image->setTo(0);
  for (int pass = 0; pass < passes; ++pass) {
    for (int y = 0; y < image->rows; ++y) {
      if (passes == 1) {
        state->row = y;
        std::memset(image->ptr(y), 0, image->step[0]);
      }
      png_read_row(png, nullptr, image->ptr(y));
    }
  }
  state->stage = ReadState::kEnd;
}

// Whether it got to the end; else `state` says how far.
bool Decode(png_structp png, png_infop info, cv::Mat* image, ReadState* state) {
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  // Text and colour profiles, which nothing here reads, may inflate to this much.
  png_set_chunk_malloc_max(png, 8 << 20);
  // libpng uses nothing of a buffer that the file's end leaves unfilled: of a file that is cut off,
  // a thousandth is lost by that.
  png_set_compression_buffer_size(png, std::clamp<std::size_t>(state->rest.size() / 1000, 1, 8192));
  png_read_info(png, info);
  const png_uint_32 width = png_get_image_width(png, info);
  const png_uint_32 height = png_get_image_height(png, info);
  png_set_strip_16(png);
  png_set_strip_alpha(png);
  png_set_packing(png);
  const int color = png_get_color_type(png, info);
  if (color == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
  if ((color & PNG_COLOR_MASK_COLOR) == 0) {
    png_set_expand_gray_1_2_4_to_8(png);
    png_set_gray_to_rgb(png);
  }
  png_set_bgr(png);
  const int passes = png_set_interlace_handling(png);
  png_read_update_info(png, info);
  image->create(static_cast<int>(height), static_cast<int>(width), CV_8UC3);
  if (png_get_rowbytes(png, info) != image->step[0])
    png_error(png, "its pixels are of an unknown kind");
  ReadRows(png, passes, image, state);
  png_read_end(png, nullptr);
  return true;
}

}  // namespace

absl::StatusOr<DecodedImage> DecodePng(std::string_view bytes) {
  ReadState state{.rest = bytes};
  const Reader reader(&state);
  if (reader.info == nullptr) {
    return absl::ResourceExhaustedError("no memory to decode the PNG");
  }
  png_set_read_fn(reader.png, &state, &Read);
  DecodedImage image;
  // What is behind the pixels may be missing or damaged.
  if (Decode(reader.png, reader.info, &image.pixels, &state) || state.stage == ReadState::kEnd) {
    return image;
  }
  if (state.no_memory) return absl::ResourceExhaustedError("no memory to decode the PNG");
  if (state.stage == ReadState::kHeader) {
    return absl::InvalidArgumentError(absl::StrCat("the PNG cannot be decoded: ", state.message));
  }
  if (png_get_interlace_type(reader.png, reader.info) == PNG_INTERLACE_NONE) {
    image.pixels.rowRange(state.row + 1, image.pixels.rows).setTo(0);
  }
  image.damage = absl::StrCat("its pixels are cut off or damaged: ", state.message);
  return image;
}

}  // namespace vision
