#include "segmenter_service/inference/embedding_codec.h"

#include <gmock/gmock.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include "tests/testing/status_matchers.h"

namespace segmenter {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::HasSubstr;

constexpr std::int64_t kMaxPixels = 1'000'000;

NetworkSpec SpecOf(FeaturePrecision precision) {
  NetworkSpec spec;
  spec.image_size = 64;
  spec.embedding = {{8, 4, 4, precision}, {2, 16, 16, precision}};
  return spec;
}

ImageEmbedding EmbeddingOf(const NetworkSpec& spec, vision::Size size = {200, 100}) {
  ImageEmbedding embedding{FitInput(size, spec.image_size, spec.framing), {}};
  for (const FeatureShape& shape : spec.embedding) {
    std::vector<std::byte> data(shape.bytes());
    // Finite numbers of either precision: no exponent of all ones.
    for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i * 7 & 0x3f);
    embedding.features.maps.push_back({shape, std::move(data)});
  }
  return embedding;
}

class EmbeddingCodecTest : public testing::TestWithParam<FeaturePrecision> {};

TEST_P(EmbeddingCodecTest, WhatIsWrittenIsReadAgain) {
  const NetworkSpec spec = SpecOf(GetParam());
  const ImageEmbedding written = EmbeddingOf(spec);

  ASSERT_OK_AND_ASSIGN(const ImageEmbedding read,
                       DecodeEmbedding(EncodeEmbedding(written), spec, kMaxPixels));

  EXPECT_EQ(read.geometry.original, written.geometry.original);
  EXPECT_EQ(read.geometry.resized, written.geometry.resized);
  EXPECT_EQ(read.geometry.image_size, 64);
  ASSERT_EQ(read.features.maps.size(), 2u);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(read.features.maps[i].shape, spec.embedding[i]);
    EXPECT_EQ(read.features.maps[i].data, written.features.maps[i].data);
  }
}

TEST_P(EmbeddingCodecTest, NoOtherLengthIsTaken) {
  const NetworkSpec spec = SpecOf(GetParam());
  const std::string bytes = EncodeEmbedding(EmbeddingOf(spec));

  for (std::size_t length = 0; length < bytes.size(); ++length) {
    ASSERT_THAT(DecodeEmbedding(bytes.substr(0, length), spec, kMaxPixels),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << length;
  }
  EXPECT_THAT(DecodeEmbedding(bytes + 'x', spec, kMaxPixels),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("bytes instead of")));
}

TEST_P(EmbeddingCodecTest, NumbersThatAreNotFiniteAreNotTaken) {
  const NetworkSpec spec = SpecOf(GetParam());
  const std::size_t size = GetParam() == FeaturePrecision::kFloat32 ? 4 : 2;
  // The upper bytes of infinity, minus infinity and two kinds of NaN.
  for (const std::uint16_t upper : {0x7f80, 0xff80, 0x7fc0, 0xff81}) {
    for (const std::size_t map : {0, 1}) {
      ImageEmbedding embedding = EmbeddingOf(spec);
      std::vector<std::byte>& data = embedding.features.maps[map].data;
      std::memcpy(&data[data.size() - 3 * size - 2], &upper, sizeof upper);

      EXPECT_THAT(DecodeEmbedding(EncodeEmbedding(embedding), spec, kMaxPixels),
                  StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not finite")));
    }
  }
}

TEST_P(EmbeddingCodecTest, NoOtherShapeOrFormIsTaken) {
  const NetworkSpec spec = SpecOf(GetParam());
  const std::string bytes = EncodeEmbedding(EmbeddingOf(spec));
  constexpr std::size_t kSize = 8, kShapes = 16, kHeader = 20 + 2 * 16;

  for (std::size_t i = 0; i < kHeader; ++i) {
    if (i >= kSize && i < kShapes) continue;
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x41);
    EXPECT_THAT(DecodeEmbedding(damaged, spec, kMaxPixels),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << "byte " << i;
  }
  NetworkSpec other = spec;
  std::swap(other.embedding[0].channels, other.embedding[0].height);
  EXPECT_THAT(DecodeEmbedding(bytes, other, kMaxPixels),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("other shapes")));
}

TEST_P(EmbeddingCodecTest, APictureOfAnyClaimedSizeIsNotBelieved) {
  const NetworkSpec spec = SpecOf(GetParam());
  const std::string bytes = EncodeEmbedding(EmbeddingOf(spec));
  // Masks are painted in the picture's size.
  for (const auto& [width, height] : {std::pair{1001, 1000}, std::pair{0, 100}, std::pair{-1, -1},
                                      std::pair{1 << 30, 1 << 30}, std::pair{1'000'001, 1}}) {
    std::string damaged = bytes;
    std::memcpy(&damaged[8], &width, sizeof width);
    std::memcpy(&damaged[12], &height, sizeof height);
    EXPECT_THAT(DecodeEmbedding(damaged, spec, kMaxPixels),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << width << "x" << height;
  }
}

INSTANTIATE_TEST_SUITE_P(Precisions, EmbeddingCodecTest,
                         testing::Values(FeaturePrecision::kFloat32, FeaturePrecision::kBFloat16));

}  // namespace
}  // namespace segmenter
