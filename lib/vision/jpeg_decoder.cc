#include "vision/jpeg_decoder.h"

#include <absl/strings/str_cat.h>

#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

// jpeglib.h uses names of <cstdio> without including it.
#include <jerror.h>
#include <jpeglib.h>

namespace vision {
namespace {

constexpr int kMaxScans = 100;

// libjpeg reports through callbacks and leaves by longjmp; no object with a destructor lives in the
// frames it skips, and no callback throws. What our own calls throw passes through Decode only,
// whose caller owns everything.
struct ErrorState {
  jpeg_error_mgr manager;  // first: libjpeg hands back a pointer to it
  std::jmp_buf leave;
  char message[JMSG_LENGTH_MAX] = "";
  // The first warning that means lost pixels.
  char damage[JMSG_LENGTH_MAX] = "";
  bool end_missing = false;
};

ErrorState& StateOf(j_common_ptr info) { return *reinterpret_cast<ErrorState*>(info->err); }

[[noreturn]] void OnError(j_common_ptr info) {
  ErrorState& state = StateOf(info);
  (*info->err->format_message)(info, state.message);
  std::longjmp(state.leave, 1);
}

void OnMessage(j_common_ptr info, int level) {
  if (level >= 0) return;  // a trace, not a warning
  ErrorState& state = StateOf(info);
  switch (info->err->msg_code) {
    case JWRN_JPEG_EOF:
      state.end_missing = true;
      break;
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_MUST_RESYNC:
      if (state.damage[0] == '\0') (*info->err->format_message)(info, state.damage);
      break;
    default:  // oddities that cost no pixels, such as stray bytes between segments
      break;
  }
}

void OnProgress(j_common_ptr info) {
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number > kMaxScans) {
    std::snprintf(StateOf(info).message, JMSG_LENGTH_MAX, "it has more than %d scans", kMaxScans);
    std::longjmp(StateOf(info).leave, 1);
  }
}

// OpenCV's conversion (modules/imgcodecs/src/utils.cpp, icvCvt_CMYK2BGR_8u_C4C3R); Adobe stores
// CMYK inverted.
void CmykToBgr(const std::uint8_t* cmyk, int width, std::uint8_t* bgr) {
  for (int x = 0; x < width; ++x, cmyk += 4, bgr += 3) {
    const int k = cmyk[3];
    for (int channel = 0; channel < 3; ++channel) {
      bgr[2 - channel] = static_cast<std::uint8_t>(k - ((255 - cmyk[channel]) * k >> 8));
    }
  }
}

// libjpeg's state; released whichever way the frame ends.
struct Decompressor {
  jpeg_decompress_struct info{};
  jpeg_progress_mgr progress{};
  ErrorState errors{};

  Decompressor() {
    info.err = jpeg_std_error(&errors.manager);
    errors.manager.error_exit = &OnError;
    errors.manager.emit_message = &OnMessage;
    progress.progress_monitor = &OnProgress;
  }
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;
  ~Decompressor() { jpeg_destroy_decompress(&info); }
};

// Fills `image` (created here) and returns whether libjpeg got to the end. `row`: scratch for CMYK.
bool Decode(std::string_view bytes, Decompressor* decompressor, cv::Mat* image,
            std::vector<std::uint8_t>* row) {
  jpeg_decompress_struct* const info = &decompressor->info;
  if (setjmp(decompressor->errors.leave) != 0) return false;
  jpeg_create_decompress(info);
  info->progress = &decompressor->progress;
  jpeg_mem_src(info, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  jpeg_read_header(info, TRUE);
  const bool cmyk = info->num_components == 4;
  info->out_color_space = cmyk ? JCS_CMYK : JCS_EXT_BGR;
  jpeg_start_decompress(info);
  image->create(static_cast<int>(info->output_height), static_cast<int>(info->output_width),
                CV_8UC3);
  if (cmyk) row->resize(std::size_t{4} * info->output_width);
  while (info->output_scanline < info->output_height) {
    std::uint8_t* out = image->ptr(static_cast<int>(info->output_scanline));
    JSAMPROW target = cmyk ? row->data() : out;
    jpeg_read_scanlines(info, &target, 1);
    if (cmyk) CmykToBgr(row->data(), image->cols, out);
  }
  return true;
}

// `bytes` without the marker segment that it ends in, which was cut off, and its scan's rest.
std::string_view WithoutLastSegment(std::string_view bytes) {
  for (std::size_t at = bytes.size(); at >= 4; --at) {
    const auto code = static_cast<unsigned char>(bytes[at - 1]);
    const bool begins_segment = code == 0xC4 || code == 0xDA || code == 0xDB || code == 0xDD ||
                                (code >= 0xE0 && code <= 0xEF) || code == 0xFE;
    if (begins_segment && bytes[at - 2] == '\xFF') return bytes.substr(0, at - 2);
  }
  return {};
}

// One clause; empty if all pixels are there. Only the end marker may be missing if there was one
// scan; of several, the last ones are missing then.
std::string DamageOf(Decompressor* decompressor) {
  const ErrorState& state = decompressor->errors;
  if (state.damage[0] != '\0') return state.damage;
  if (state.end_missing && jpeg_has_multiple_scans(&decompressor->info)) {
    return "it is cut off: its last scans are missing";
  }
  return "";
}

}  // namespace

absl::StatusOr<DecodedImage> DecodeJpeg(std::string_view bytes) {
  // A progressive file may be cut off between two scans, within tables, where libjpeg gives up: it
  // is read again without them. Two segments may end there, a table's and a scan's header.
  constexpr int kTries = 3;
  for (int attempt = 1;; ++attempt) {
    Decompressor decompressor;
    DecodedImage image;
    std::vector<std::uint8_t> row;
    const ErrorState& state = decompressor.errors;
    if (Decode(bytes, &decompressor, &image.pixels, &row)) {
      image.damage = attempt == 1 ? DamageOf(&decompressor) : "it is cut off between two scans";
      return image;
    }
    if (state.manager.msg_code == JERR_OUT_OF_MEMORY) {
      return absl::ResourceExhaustedError("no memory to decode the JPEG");
    }
    const std::string_view shorter = WithoutLastSegment(bytes);
    if (!state.end_missing || attempt == kTries || shorter.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("the JPEG cannot be decoded: ", state.message));
    }
    bytes = shorter;
  }
}

}  // namespace vision
