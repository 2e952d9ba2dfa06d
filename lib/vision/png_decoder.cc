#include "vision/png_decoder.h"

#include <absl/strings/str_cat.h>
#include <png.h>

#include <csetjmp>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace vision {
namespace {

// libpng leaves by longjmp; no object with a destructor lives in the frames it skips, and no
// callback throws. What our own calls throw passes through Decode only, whose caller owns
// everything.
struct ReadState {
  std::string_view rest;
  char message[160] = "";
  bool no_memory = false;
};

[[noreturn]] void OnError(png_structp png, png_const_charp message) {
  auto* state = static_cast<ReadState*>(png_get_error_ptr(png));
  std::strncpy(state->message, message, sizeof state->message - 1);
  png_longjmp(png, 1);
}

void OnWarning(png_structp, png_const_charp) {}

void Read(png_structp png, png_bytep to, std::size_t count) {
  auto* state = static_cast<ReadState*>(png_get_io_ptr(png));
  if (count > state->rest.size()) png_error(png, "it is cut off");
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

bool Decode(png_structp png, png_infop info, cv::Mat* image, std::vector<png_bytep>* rows) {
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  // Text and colour profiles, which nothing here reads, may inflate to this much.
  png_set_chunk_malloc_max(png, 8 << 20);
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
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
  image->create(static_cast<int>(height), static_cast<int>(width), CV_8UC3);
  if (png_get_rowbytes(png, info) != image->step[0])
    png_error(png, "its pixels are of an unknown kind");
  rows->resize(height);
  for (png_uint_32 y = 0; y < height; ++y) (*rows)[y] = image->ptr(static_cast<int>(y));
  png_read_image(png, rows->data());
  png_read_end(png, nullptr);
  return true;
}

}  // namespace

absl::StatusOr<cv::Mat> DecodePng(std::string_view bytes) {
  ReadState state{.rest = bytes};
  const Reader reader(&state);
  if (reader.info == nullptr) {
    return absl::ResourceExhaustedError("no memory to decode the PNG");
  }
  png_set_read_fn(reader.png, &state, &Read);
  cv::Mat image;
  std::vector<png_bytep> rows;
  if (!Decode(reader.png, reader.info, &image, &rows)) {
    if (state.no_memory) return absl::ResourceExhaustedError("no memory to decode the PNG");
    return absl::InvalidArgumentError(absl::StrCat("the PNG cannot be decoded: ", state.message));
  }
  return image;
}

}  // namespace vision
