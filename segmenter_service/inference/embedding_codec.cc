#include "segmenter_service/inference/embedding_codec.h"

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include <bit>
#include <cstring>
#include <utility>
#include <vector>

namespace segmenter {
namespace {

static_assert(std::endian::native == std::endian::little, "values are written as they are");

constexpr std::string_view kMagic = "duetemb1";  // the last character is the format's version

void Append(std::uint32_t number, std::string* bytes) {
  char raw[sizeof number];
  std::memcpy(raw, &number, sizeof number);
  bytes->append(raw, sizeof raw);
}

// Everything before the values. It is the same for all embeddings of one network and image size.
std::string HeaderOf(vision::Size original, const std::vector<FeatureShape>& shapes) {
  std::string header(kMagic);
  Append(static_cast<std::uint32_t>(original.width), &header);
  Append(static_cast<std::uint32_t>(original.height), &header);
  Append(static_cast<std::uint32_t>(shapes.size()), &header);
  for (const FeatureShape& shape : shapes) {
    Append(shape.precision == FeaturePrecision::kFloat32 ? 32 : 16, &header);
    Append(static_cast<std::uint32_t>(shape.channels), &header);
    Append(static_cast<std::uint32_t>(shape.height), &header);
    Append(static_cast<std::uint32_t>(shape.width), &header);
  }
  return header;
}

// Whether all values are finite: in IEEE 754, those whose exponent isn't all ones.
template <typename Bits>
bool AllFinite(const std::vector<std::byte>& data, Bits exponent) {
  bool finite = true;
  for (std::size_t at = 0; at + sizeof(Bits) <= data.size(); at += sizeof(Bits)) {
    Bits bits;
    std::memcpy(&bits, data.data() + at, sizeof bits);
    finite &= (bits & exponent) != exponent;
  }
  return finite;
}

bool AllFinite(const FeatureMap& map) {
  return map.shape.precision == FeaturePrecision::kFloat32
             ? AllFinite<std::uint32_t>(map.data, 0x7f800000)
             : AllFinite<std::uint16_t>(map.data, 0x7f80);
}

}  // namespace

std::string EncodeEmbedding(const ImageEmbedding& embedding) {
  std::vector<FeatureShape> shapes;
  for (const FeatureMap& map : embedding.features.maps) shapes.push_back(map.shape);
  std::string bytes = HeaderOf(embedding.geometry.original, shapes);
  bytes.reserve(bytes.size() + embedding.features.bytes());
  for (const FeatureMap& map : embedding.features.maps) {
    bytes.append(reinterpret_cast<const char*>(map.data.data()), map.data.size());
  }
  return bytes;
}

std::size_t EncodedBytes(const std::vector<FeatureShape>& shapes) {
  std::size_t bytes = HeaderOf({}, shapes).size();
  for (const FeatureShape& shape : shapes) bytes += shape.bytes();
  return bytes;
}

absl::StatusOr<ImageEmbedding> DecodeEmbedding(std::string_view bytes, const NetworkSpec& spec,
                                               std::int64_t max_pixels) {
  std::int32_t size[2] = {0, 0};
  if (bytes.size() < kMagic.size() + sizeof size || bytes.substr(0, kMagic.size()) != kMagic) {
    return absl::InvalidArgumentError("it is no embedding in this version's form");
  }
  std::memcpy(size, bytes.data() + kMagic.size(), sizeof size);
  const vision::Size original{size[0], size[1]};
  if (original.width < 1 || original.height < 1 ||
      std::int64_t{original.width} * original.height > max_pixels) {
    return absl::InvalidArgumentError(absl::StrCat("it is of an image of ", original.width, "x",
                                                   original.height, " pixels; at most ", max_pixels,
                                                   " pixels are taken"));
  }
  const std::string header = HeaderOf(original, spec.embedding);
  if (bytes.substr(0, header.size()) != header) {
    return absl::InvalidArgumentError("its maps have other shapes than this model's");
  }
  const std::size_t needed = EncodedBytes(spec.embedding);
  if (bytes.size() != needed) {
    return absl::InvalidArgumentError(
        absl::StrCat("it has ", bytes.size(), " bytes instead of ", needed));
  }
  ImageEmbedding embedding{FitInput(original, spec.image_size, spec.framing), {}};
  const auto* values = reinterpret_cast<const std::byte*>(bytes.data()) + header.size();
  for (const FeatureShape& shape : spec.embedding) {
    embedding.features.maps.push_back({shape, {values, values + shape.bytes()}});
    values += shape.bytes();
    if (!AllFinite(embedding.features.maps.back())) {
      return absl::InvalidArgumentError("it has numbers that are not finite");
    }
  }
  return embedding;
}

}  // namespace segmenter
