// Images without memory to decode them. libjpeg, libpng, giflib and libwebp keep their state in C;
// here their caller's allocations fail in the middle, as they do on a full machine.
#include <gmock/gmock.h>
#include <malloc.h>

#include <cstddef>
#include <cstdint>
#include <new>
#include <opencv2/core.hpp>
#include <string>

#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"
#include "vision/image_codec.h"

extern std::size_t refused_size;  // refusing_new.cc

namespace vision {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;

std::string Fixture(const std::string& name) {
  return duet_testing::ReadFile(DUET_TEST_DATA "/images/" + name);
}

// While it lives, OpenCV has no memory for pixels.
class NoPixels final : public cv::MatAllocator {
 public:
  NoPixels() { cv::Mat::setDefaultAllocator(this); }
  ~NoPixels() override { cv::Mat::setDefaultAllocator(usual_); }

  cv::UMatData* allocate(int, const int*, int, void*, std::size_t*, cv::AccessFlag,
                         cv::UMatUsageFlags) const override {
    throw std::bad_alloc();
  }
  bool allocate(cv::UMatData*, cv::AccessFlag, cv::UMatUsageFlags) const override { return false; }
  void deallocate(cv::UMatData*) const override {}

 private:
  cv::MatAllocator* const usual_ = cv::Mat::getDefaultAllocator();
};

// By how many bytes the heap grows over 100 runs, once some have filled what stays: malloc keeps up
// to seven freed pieces of a size, which count as used.
template <typename Run>
std::int64_t GrowthOf(const Run& run) {
  const auto in_use = [] {
    const struct mallinfo2 info = mallinfo2();
    return static_cast<std::int64_t>(info.uordblks + info.hblkhd);
  };
  for (int i = 0; i < 10; ++i) run();
  const std::int64_t before = in_use();
  for (int i = 0; i < 100; ++i) run();
  return in_use() - before;
}

class CodecMemoryTest : public testing::TestWithParam<std::string> {};

TEST_P(CodecMemoryTest, WithoutMemoryForPixelsNothingIsLost) {
  const std::string bytes = Fixture(GetParam());

  const std::int64_t growth = GrowthOf([&] {
    const NoPixels none;
    EXPECT_THAT(DecodeImage(bytes, {}), StatusIs(absl::StatusCode::kResourceExhausted));
  });

  EXPECT_LT(growth, 4096);
  EXPECT_THAT(DecodeImage(bytes, {}), IsOk());
}

INSTANTIATE_TEST_SUITE_P(Kinds, CodecMemoryTest,
                         testing::Values("rgb.jpg", "progressive.jpg", "cmyk.jpg", "rgb.png",
                                         "palette.png", "palette.gif", "rgb.webp",
                                         "animated.webp"));

TEST(CodecMemoryTest, WithoutMemoryForRowsNothingIsLost) {
  struct Case {
    const char* name;
    std::size_t bytes;  // of the one vector of its decoder; pictures are 53 x 37
  };
  for (const Case& test : {Case{"palette.gif", 37 * sizeof(int)}, Case{"cmyk.jpg", 4 * 53}}) {
    SCOPED_TRACE(test.name);
    const std::string bytes = Fixture(test.name);

    const std::int64_t growth = GrowthOf([&] {
      refused_size = test.bytes;
      const absl::StatusCode code = DecodeImage(bytes, {}).status().code();
      refused_size = 0;
      EXPECT_EQ(code, absl::StatusCode::kResourceExhausted);
    });

    EXPECT_LT(growth, 4096);
    EXPECT_THAT(DecodeImage(bytes, {}), IsOk());
  }
}

}  // namespace
}  // namespace vision
