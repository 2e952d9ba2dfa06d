#include "image_fetch/image_cache.h"

#include <gmock/gmock.h>

#include <memory>
#include <string>

#include "tests/testing/status_matchers.h"

namespace image_fetch {
namespace {

std::shared_ptr<const FetchedImage> ImageOf(std::size_t bytes) {
  auto image = std::make_shared<FetchedImage>();
  image->bytes.assign(bytes, 'x');
  return image;
}

TEST(ImageCacheTest, TheLeastRecentlyUsedGoesFirst) {
  const absl::Time now = absl::FromUnixSeconds(0);
  ImageCache cache(/*budget_bytes=*/3000, absl::Seconds(60));
  cache.Insert("a", ImageOf(1000), {}, now);
  cache.Insert("b", ImageOf(1000), {}, now);
  ASSERT_TRUE(cache.Find("a", now).has_value());  // a use: "b" is now the oldest

  cache.Insert("c", ImageOf(1000), {}, now);

  EXPECT_TRUE(cache.Find("a", now).has_value());
  EXPECT_FALSE(cache.Find("b", now).has_value());
  EXPECT_TRUE(cache.Find("c", now).has_value());
  cache.Insert("huge", ImageOf(5000), {}, now);
  EXPECT_FALSE(cache.Find("huge", now).has_value());
  EXPECT_LE(cache.bytes(), 3000);
}

TEST(ImageCacheTest, ImagesGoStaleAndFailuresAreForgotten) {
  const absl::Time now = absl::FromUnixSeconds(0);
  ImageCache cache(3000, absl::Seconds(60));
  cache.Insert("a", ImageOf(10), {}, now);
  cache.InsertFailure("b", absl::NotFoundError("gone"), now + absl::Seconds(5));

  EXPECT_TRUE(cache.Find("a", now + absl::Seconds(59))->fresh);
  EXPECT_FALSE(cache.Find("a", now + absl::Seconds(60))->fresh);
  cache.Refresh("a", now + absl::Seconds(60));
  EXPECT_TRUE(cache.Find("a", now + absl::Seconds(119))->fresh);
  EXPECT_TRUE(cache.FindFailure("b", now + absl::Seconds(4)).has_value());
  EXPECT_FALSE(cache.FindFailure("b", now + absl::Seconds(5)).has_value());

  cache.InsertFailure("a", absl::NotFoundError("gone"), now + absl::Seconds(5));
  EXPECT_FALSE(cache.Find("a", now).has_value()) << "what is gone is not served from before";
}

}  // namespace
}  // namespace image_fetch
