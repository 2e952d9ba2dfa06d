#include "vision/image_codec.h"

#include <absl/strings/str_cat.h>

#include <exception>
#include <mutex>
#include <new>
#include <opencv2/core.hpp>
#include <opencv2/core/utils/logger.hpp>
#include <opencv2/imgcodecs.hpp>
#include <string>

#include "vision/gif_decoder.h"
#include "vision/jpeg_decoder.h"
#include "vision/png_decoder.h"
#include "vision/webp_decoder.h"

namespace vision {
namespace {

// EXIF 2.3, tag 0x0112.
cv::Mat Upright(const cv::Mat& stored, int orientation) {
  cv::Mat upright = stored;
  if (orientation >= 5) {
    cv::Mat transposed;
    cv::transpose(stored, transposed);
    upright = transposed;
  }
  // After transposing: 5 is done, 6 mirrors left to right, 7 both ways, 8 top to bottom.
  switch (orientation) {
    case 2:
    case 6:
      cv::flip(upright, upright, 1);
      break;
    case 3:
    case 7:
      cv::flip(upright, upright, -1);
      break;
    case 4:
    case 8:
      cv::flip(upright, upright, 0);
      break;
    default:
      break;
  }
  return upright;
}

absl::StatusOr<DecodedImage> DecodeWithOpenCv(std::string_view bytes) {
  // What OpenCV has to say comes back as a status.
  static std::once_flag once;
  std::call_once(once,
                 [] { cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT); });
  // Not copied; OpenCV wants it mutable but only reads.
  const cv::Mat encoded(1, static_cast<int>(bytes.size()), CV_8UC1,
                        const_cast<char*>(bytes.data()));
  DecodedImage image;
  image.pixels = cv::imdecode(encoded, cv::IMREAD_COLOR | cv::IMREAD_IGNORE_ORIENTATION);
  return image;
}

// OpenCV shows nothing of a BMP that is cut off; with zeros it is whole.
absl::StatusOr<DecodedImage> DecodeBmp(std::string_view bytes, std::size_t whole_size) {
  if (bytes.size() >= whole_size) return DecodeWithOpenCv(bytes);
  std::string padded;
  padded.reserve(whole_size);
  padded.assign(bytes);
  padded.resize(whole_size, '\0');
  absl::StatusOr<DecodedImage> image = DecodeWithOpenCv(padded);
  if (image.ok()) {
    image->damage = absl::StrCat("it has ", bytes.size(), " of ", whole_size, " bytes");
  }
  return image;
}

absl::StatusOr<DecodedImage> DecodeStored(std::string_view bytes, const ImageHeader& header) {
  const std::string_view format = header.format;
  if (format == "jpeg") return DecodeJpeg(bytes);
  if (format == "png") return DecodePng(bytes);
  if (format == "webp") return DecodeWebp(bytes, header.size);
  if (format == "gif") return DecodeGif(bytes, header.size);
  if (format == "bmp") return DecodeBmp(bytes, header.whole_size);
  return DecodeWithOpenCv(bytes);
}

}  // namespace

absl::StatusOr<DecodedImage> DecodeImage(std::string_view bytes, const ImageLimits& limits) {
  const absl::StatusOr<ImageHeader> header = ReadImageHeader(bytes, limits);
  if (!header.ok()) return header.status();
  const std::string format = header->format;
  try {
    absl::StatusOr<DecodedImage> image = DecodeStored(bytes, *header);
    if (!image.ok()) return image;
    cv::Mat& pixels = image->pixels;
    if (pixels.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("the ", format, " is damaged or of a kind that cannot be decoded"));
    }
    // OpenCV's TIFF decoder turns the image itself.
    if (format != "tiff") pixels = Upright(pixels, header->orientation);
    if (pixels.cols != header->size.width || pixels.rows != header->size.height ||
        pixels.type() != CV_8UC3) {
      return absl::InvalidArgumentError(absl::StrCat("the ", format, " has ", pixels.cols, "x",
                                                     pixels.rows, " pixels though its header says ",
                                                     header->size.width, "x", header->size.height));
    }
    return image;
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(absl::StrCat("no memory to decode the ", format));
  } catch (const cv::Exception& e) {
    if (e.code == cv::Error::StsNoMem) {
      return absl::ResourceExhaustedError(absl::StrCat("no memory to decode the ", format));
    }
    return absl::InvalidArgumentError(
        absl::StrCat("the ", format, " cannot be decoded: ", e.what()));
  } catch (const std::exception& e) {
    return absl::InvalidArgumentError(
        absl::StrCat("the ", format, " cannot be decoded: ", e.what()));
  }
}

}  // namespace vision
