// ReadImageHeader: small parsers that look at as little as possible and never past the end.
#include <absl/strings/str_cat.h>

#include <algorithm>
#include <optional>
#include <string>

#include "vision/image_codec.h"

namespace vision {
namespace {

// Each side is bounded as OpenCV's decoders bound it.
constexpr std::uint32_t kMaxSide = 1 << 20;

// Reads integers at offsets; whatever lies outside of the bytes is absent.
class Bytes {
 public:
  explicit Bytes(std::string_view data, bool big_endian = false)
      : data_(data), big_endian_(big_endian) {}

  // `count` bytes, at most 4, as an unsigned number.
  std::optional<std::uint32_t> Get(std::uint64_t at, int count) const {
    if (at > data_.size() || data_.size() - at < static_cast<std::uint64_t>(count)) return {};
    std::uint32_t value = 0;
    for (int i = 0; i < count; ++i) {
      const std::size_t index = at + (big_endian_ ? i : count - 1 - i);
      value = value << 8 | static_cast<unsigned char>(data_[index]);
    }
    return value;
  }

  bool StartsWith(std::uint64_t at, std::string_view prefix) const {
    return at <= data_.size() && data_.substr(at, prefix.size()) == prefix;
  }

  std::uint64_t size() const { return data_.size(); }
  std::string_view Slice(std::uint64_t at, std::uint64_t count) const {
    return at <= data_.size() ? data_.substr(at, count) : std::string_view();
  }

 private:
  std::string_view data_;
  bool big_endian_;
};

// As stored, before the orientation is applied.
struct Found {
  std::uint32_t width = 0;
  std::uint32_t height = 0;
  int orientation = 1;
  std::size_t whole_size = 0;  // as in ImageHeader
};

absl::Status CutOff(const char* format) {
  return absl::InvalidArgumentError(absl::StrCat("the ", format, " is cut off inside its header"));
}

// A TIFF directory (TIFF 6.0, section 2): a count, then entries of 12 bytes: tag, type, count,
// value or offset.
class TiffDirectory {
 public:
  // `data` starts with the byte-order mark. Absent if it isn't TIFF or the directory lies outside.
  static std::optional<TiffDirectory> First(std::string_view data) {
    const bool big_endian = data.substr(0, 4) == std::string_view("MM\0*", 4);
    if (!big_endian && data.substr(0, 4) != std::string_view("II*\0", 4)) return {};
    const Bytes bytes(data, big_endian);
    const auto offset = bytes.Get(4, 4);
    if (!offset) return {};
    const auto count = bytes.Get(*offset, 2);
    if (!count) return {};
    return TiffDirectory(bytes, std::uint64_t{*offset} + 2, *count);
  }

  // The value of a tag that holds one SHORT or LONG.
  std::optional<std::uint32_t> Value(std::uint32_t tag) const {
    for (std::uint32_t i = 0; i < count_; ++i) {
      const std::uint64_t entry = first_entry_ + 12 * std::uint64_t{i};
      const auto found = bytes_.Get(entry, 2);
      if (!found) return {};
      if (*found != tag) continue;
      const auto type = bytes_.Get(entry + 2, 2);
      if (!type || (*type != 3 && *type != 4)) return {};
      return bytes_.Get(entry + 8, *type == 3 ? 2 : 4);
    }
    return {};
  }

  int Orientation() const {
    const std::uint32_t value = Value(0x0112).value_or(1);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }

 private:
  TiffDirectory(Bytes bytes, std::uint64_t first_entry, std::uint32_t count)
      : bytes_(bytes), first_entry_(first_entry), count_(count) {}

  Bytes bytes_;
  std::uint64_t first_entry_;
  std::uint32_t count_;
};

int ExifOrientation(std::string_view tiff) {
  const auto directory = TiffDirectory::First(tiff);
  return directory ? directory->Orientation() : 1;
}

// ITU-T T.81, annex B: segments of marker, length, data, up to the start of the first scan.
absl::StatusOr<Found> ReadJpeg(std::string_view data) {
  const Bytes bytes(data, /*big_endian=*/true);
  std::optional<Found> found;
  std::optional<int> orientation;
  std::uint64_t at = 2;
  while (true) {
    auto marker = bytes.Get(at, 2);
    if (!marker) return CutOff("JPEG");
    if (*marker == 0xFFFF) {  // fill byte
      ++at;
      continue;
    }
    if (*marker < 0xFF01) return absl::InvalidArgumentError("the JPEG's header is damaged");
    at += 2;
    const std::uint32_t code = *marker & 0xFF;
    if (code == 0x01 || (code >= 0xD0 && code <= 0xD8)) continue;  // no data
    if (code == 0xD9) return absl::InvalidArgumentError("the JPEG holds no image");
    const auto length = bytes.Get(at, 2);
    if (!length) return CutOff("JPEG");
    if (*length < 2) return absl::InvalidArgumentError("the JPEG's header is damaged");
    if (at + *length > bytes.size()) return CutOff("JPEG");
    const bool frame = code >= 0xC0 && code <= 0xCF && code != 0xC4 && code != 0xC8 && code != 0xCC;
    if (frame) {
      if (*length < 8) return absl::InvalidArgumentError("the JPEG's header is damaged");
      if (found) return absl::InvalidArgumentError("the JPEG has more than one frame");
      found = Found{.width = *bytes.Get(at + 5, 2), .height = *bytes.Get(at + 3, 2)};
    } else if (code == 0xE1 && !orientation && bytes.StartsWith(at + 2, {"Exif\0", 5})) {
      orientation = ExifOrientation(bytes.Slice(at + 8, *length - 8));
    } else if (code == 0xDA) {
      if (!found) return absl::InvalidArgumentError("the JPEG's header is damaged");
      found->orientation = orientation.value_or(1);
      return *found;
    }
    at += *length;
  }
}

// https://www.w3.org/TR/png-3/: chunks of length, type, data, CRC; the first is IHDR.
absl::StatusOr<Found> ReadPng(std::string_view data) {
  const Bytes bytes(data, /*big_endian=*/true);
  const auto width = bytes.Get(16, 4);
  const auto height = bytes.Get(20, 4);
  if (!width || !height) return CutOff("PNG");
  if (!bytes.StartsWith(12, "IHDR")) {
    return absl::InvalidArgumentError("the PNG's header is damaged");
  }
  Found found{.width = *width, .height = *height};
  for (std::uint64_t at = 8;;) {
    const auto length = bytes.Get(at, 4);
    if (!length || at + 8 > bytes.size()) return CutOff("PNG");
    if (bytes.StartsWith(at + 4, "IDAT")) return found;
    if (bytes.StartsWith(at + 4, "IEND")) {
      return absl::InvalidArgumentError("the PNG holds no image");
    }
    if (bytes.StartsWith(at + 4, "eXIf")) {
      found.orientation = ExifOrientation(bytes.Slice(at + 8, *length));
    }
    at += 12 + std::uint64_t{*length};
  }
}

// RFC 9649, sections 2.5 to 2.7; RFC 6386, section 9.1.
absl::StatusOr<Found> ReadWebp(std::string_view data) {
  const Bytes bytes(data);
  const auto riff_size = bytes.Get(4, 4);
  if (!riff_size || bytes.size() < 30) return CutOff("WebP");
  if (std::uint64_t{*riff_size} + 8 > bytes.size()) {
    return absl::InvalidArgumentError(absl::StrCat("the WebP is cut off: it has ", bytes.size(),
                                                   " of ", std::uint64_t{*riff_size} + 8,
                                                   " bytes"));
  }
  if (bytes.StartsWith(12, "VP8 ")) {
    if (!bytes.StartsWith(23, "\x9d\x01\x2a")) {
      return absl::InvalidArgumentError("the WebP's header is damaged");
    }
    return Found{.width = *bytes.Get(26, 2) & 0x3FFF, .height = *bytes.Get(28, 2) & 0x3FFF};
  }
  if (bytes.StartsWith(12, "VP8L")) {
    const std::uint32_t bits = *bytes.Get(21, 4);
    return Found{.width = (bits & 0x3FFF) + 1, .height = (bits >> 14 & 0x3FFF) + 1};
  }
  if (bytes.StartsWith(12, "VP8X")) {
    return Found{.width = *bytes.Get(24, 3) + 1, .height = *bytes.Get(27, 3) + 1};
  }
  return absl::InvalidArgumentError("the WebP's header is damaged");
}

// Of a GIF's screen or frame.
std::uint32_t PaletteBytes(std::uint32_t flags) {
  return flags & 0x80 ? 3u << ((flags & 7) + 1) : 0;
}

// GIF89a, appendix A: screen descriptor, palette, then extensions, each of a label and blocks of at
// most 255 bytes, up to the first frame's descriptor. As in browsers and Pillow, the canvas grows
// to hold the first frame.
absl::StatusOr<Found> ReadGif(std::string_view data) {
  const Bytes bytes(data);
  const auto flags = bytes.Get(10, 1);
  if (!flags) return CutOff("GIF");
  std::uint64_t at = 13 + PaletteBytes(*flags);
  while (bytes.Get(at, 1) == 0x21u) {
    at += 2;
    auto length = bytes.Get(at, 1);
    while (length && *length != 0) {
      at += 1 + *length;
      length = bytes.Get(at, 1);
    }
    ++at;
  }
  const auto record = bytes.Get(at, 1);
  if (!record) return CutOff("GIF");
  if (*record == 0x3B) return absl::InvalidArgumentError("the GIF holds no image");
  if (*record != 0x2C) return absl::InvalidArgumentError("the GIF's header is damaged");
  const auto left = bytes.Get(at + 1, 2);
  const auto top = bytes.Get(at + 3, 2);
  const auto width = bytes.Get(at + 5, 2);
  const auto height = bytes.Get(at + 7, 2);
  const auto frame_flags = bytes.Get(at + 9, 1);
  if (!frame_flags) return CutOff("GIF");
  // Behind the frame's own palette: how many bits a pixel has.
  const auto bits = bytes.Get(at + 10 + PaletteBytes(*frame_flags), 1);
  if (!bits) return CutOff("GIF");
  if (*bits > 8) return absl::InvalidArgumentError("the GIF's header is damaged");
  if (*width == 0 || *height == 0) {
    return absl::InvalidArgumentError("the GIF's first frame has no pixels");
  }
  return Found{.width = std::max(*bytes.Get(6, 2), *left + *width),
               .height = std::max(*bytes.Get(8, 2), *top + *height)};
}

absl::StatusOr<Found> ReadBmp(std::string_view data) {
  const Bytes bytes(data);
  const auto header_size = bytes.Get(14, 4);
  const auto core = header_size == 12u;  // OS/2: 16-bit sizes
  if (!header_size || bytes.size() < (core ? 26 : 54)) return CutOff("BMP");
  if (!core && *header_size < 36) return absl::InvalidArgumentError("the BMP's header is damaged");
  const auto width = *bytes.Get(18, core ? 2 : 4);
  std::uint32_t height = *bytes.Get(core ? 20 : 22, core ? 2 : 4);
  if (!core && height > 0x7FFFFFFF) height = 0u - height;  // negative: rows from the top
  const std::uint32_t bits = *bytes.Get(core ? 24 : 28, 2);
  const std::uint32_t compression = core ? 0 : *bytes.Get(30, 4);
  const std::uint64_t pixels_at = *bytes.Get(10, 4);
  Found found{.width = width, .height = height};
  // Other compressions are of runs, whose length the header doesn't say.
  if (width <= kMaxSide && height <= kMaxSide && bits <= 32 &&
      (compression == 0 || compression == 3)) {
    if (pixels_at > bytes.size()) return CutOff("BMP");
    const std::uint64_t row = (std::uint64_t{width} * bits + 31) / 32 * 4;
    found.whole_size = static_cast<std::size_t>(pixels_at + row * height);
  }
  return found;
}

absl::StatusOr<Found> ReadTiff(std::string_view data, const ImageLimits& limits) {
  const auto directory = TiffDirectory::First(data);
  if (!directory) return CutOff("TIFF");
  const auto width = directory->Value(256);
  const auto height = directory->Value(257);
  if (!width || !height) return CutOff("TIFF");
  // A decoder allocates whole tiles, which may be larger than the image.
  const std::uint64_t tile = std::uint64_t{directory->Value(322).value_or(0)} *
                             std::uint64_t{directory->Value(323).value_or(0)};
  if (tile > static_cast<std::uint64_t>(limits.max_pixels)) {
    return absl::InvalidArgumentError(absl::StrCat("the TIFF's tiles have ", tile,
                                                   " pixels each; at most ", limits.max_pixels,
                                                   " are allowed"));
  }
  return Found{.width = *width, .height = *height, .orientation = directory->Orientation()};
}

// What a file is that is none of the six, if it is something that people have instead; else "".
std::string_view OtherFormat(std::string_view bytes) {
  struct Signature {
    std::size_t at;
    std::string_view bytes;
    std::string_view name;
  };
  using std::string_view_literals::operator""sv;
  constexpr Signature kSignatures[] = {
      {4, "ftypavif"sv, "an AVIF image"},
      {4, "ftypavis"sv, "an AVIF animation"},
      {4, "ftyphei"sv, "an HEIC image"},
      {4, "ftyphev"sv, "an HEIC animation"},
      {4, "ftypmif1"sv, "an HEIF image (HEIC or AVIF)"},
      {4, "ftypmsf1"sv, "an HEIF animation (HEIC or AVIF)"},
      {4, "ftypcrx "sv, "a Canon CR3 raw image"},
      {4, "ftyp"sv, "a video"},
      {0, "\x1A\x45\xDF\xA3"sv, "a video"},
      {0, "\0\0\0\x0CJXL "sv, "a JPEG XL image"},
      {0, "\xFF\x0A"sv, "a JPEG XL image"},
      {0, "\0\0\0\x0CjP  "sv, "a JPEG 2000 image"},
      {0, "\xFF\x4F\xFF\x51"sv, "a JPEG 2000 image"},
      {0, "II+\0"sv, "a BigTIFF image"},
      {0, "MM\0+"sv, "a BigTIFF image"},
      {0, "\0\0\1\0"sv, "an icon (ICO)"},
      {0, "8BPS"sv, "a Photoshop document"},
      {128, "DICM"sv, "a DICOM file"},
      {0, "%PDF"sv, "a PDF document"},
      {0, "<svg"sv, "an SVG drawing"},
      {0, "<?xml"sv, "an XML text, perhaps an SVG drawing"},
      {0, "<!DOCTYPE html"sv, "a web page"},
      {0, "<!doctype html"sv, "a web page"},
      {0, "<html"sv, "a web page"},
      {0, "version https://git-lfs"sv, "a Git LFS pointer"},
      {0, "PK\3\4"sv, "a zip archive"},
      {0, "\x1F\x8B"sv, "gzip data"},
  };
  for (const Signature& one : kSignatures) {
    if (bytes.size() >= one.at && bytes.substr(one.at, one.bytes.size()) == one.bytes) {
      return one.name;
    }
  }
  return "";
}

std::string FirstBytes(std::string_view bytes) {
  std::string hex;
  for (unsigned char c : bytes.substr(0, 8)) {
    absl::StrAppend(&hex, hex.empty() ? "" : " ", absl::Hex(c, absl::kZeroPad2));
  }
  return hex;
}

}  // namespace

absl::StatusOr<ImageHeader> ReadImageHeader(std::string_view bytes, const ImageLimits& limits) {
  if (bytes.empty()) return absl::InvalidArgumentError("the image is empty (0 bytes)");
  if (static_cast<std::int64_t>(bytes.size()) > limits.max_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the image has ", bytes.size(), " bytes; at most ", limits.max_bytes, " are allowed"));
  }
  ImageHeader header;
  absl::StatusOr<Found> found;
  if (bytes.substr(0, 3) == "\xFF\xD8\xFF") {
    header.format = "jpeg";
    found = ReadJpeg(bytes);
  } else if (bytes.substr(0, 8) == "\x89PNG\r\n\x1a\n") {
    header.format = "png";
    found = ReadPng(bytes);
  } else if (bytes.substr(0, 4) == "RIFF" && bytes.size() >= 12 && bytes.substr(8, 4) == "WEBP") {
    header.format = "webp";
    found = ReadWebp(bytes);
  } else if (bytes.substr(0, 4) == std::string_view("II*\0", 4) ||
             bytes.substr(0, 4) == std::string_view("MM\0*", 4)) {
    header.format = "tiff";
    found = ReadTiff(bytes, limits);
  } else if (bytes.substr(0, 6) == "GIF87a" || bytes.substr(0, 6) == "GIF89a") {
    header.format = "gif";
    found = ReadGif(bytes);
  } else if (bytes.substr(0, 2) == "BM") {
    header.format = "bmp";
    found = ReadBmp(bytes);
  } else {
    const std::string other(OtherFormat(bytes));
    return absl::InvalidArgumentError(absl::StrCat(
        "not a JPEG, PNG, WebP, GIF, BMP or TIFF image: ", other, other.empty() ? "" : ", ",
        bytes.size(), " bytes that start with ", FirstBytes(bytes)));
  }
  if (!found.ok()) return found.status();

  if (found->width == 0 || found->height == 0 || found->width > kMaxSide ||
      found->height > kMaxSide ||
      std::int64_t{found->width} * std::int64_t{found->height} > limits.max_pixels) {
    return absl::InvalidArgumentError(absl::StrCat("the ", header.format, " has ", found->width,
                                                   "x", found->height, " pixels; 1 to ",
                                                   limits.max_pixels, " are allowed"));
  }
  header.size = {static_cast<int>(found->width), static_cast<int>(found->height)};
  header.orientation = found->orientation;
  header.whole_size = found->whole_size;
  if (header.orientation >= 5) std::swap(header.size.width, header.size.height);
  return header;
}

}  // namespace vision
