#include "gateway/endpoints/kept_images.h"

#include <gtest/gtest.h>

#include <string>

namespace gateway::endpoints {
namespace {

KeptImages::ImagePtr Image(const std::string& id, std::size_t bytes) {
  auto image = std::make_shared<image_fetch::FetchedImage>();
  image->image_id = id;
  image->bytes.assign(bytes, 'x');
  return image;
}

TEST(KeptImagesTest, WhatIsKeptIsFoundByItsId) {
  KeptImages images;

  images.Keep(Image("cat", 10));

  ASSERT_NE(images.Find("cat"), nullptr);
  EXPECT_EQ(images.Find("cat")->bytes.size(), 10u);
  EXPECT_EQ(images.Find("dog"), nullptr);
}

TEST(KeptImagesTest, TogetherTheyTakeNoMoreThanTheirBudget) {
  KeptImages images(/*max_images=*/100, /*max_bytes=*/10'000);
  images.Keep(Image("cat", 4000));
  images.Keep(Image("dog", 4000));
  images.Find("cat");

  images.Keep(Image("bus", 4000));

  EXPECT_NE(images.Find("cat"), nullptr);
  EXPECT_EQ(images.Find("dog"), nullptr) << "used longest ago";
  EXPECT_NE(images.Find("bus"), nullptr);
}

TEST(KeptImagesTest, OneThatIsLargerThanAllMayBeIsRefused) {
  KeptImages images(/*max_images=*/100, /*max_bytes=*/10'000);

  EXPECT_TRUE(images.Keep(Image("cat", 4000)));
  EXPECT_FALSE(images.Keep(Image("dog", 10'001)));

  EXPECT_NE(images.Find("cat"), nullptr);
}

TEST(KeptImagesTest, SmallOnesAreBoundedByTheirNumber) {
  KeptImages images(/*max_images=*/2, /*max_bytes=*/10'000);

  for (const char* id : {"cat", "dog", "bus"}) images.Keep(Image(id, 1));

  EXPECT_EQ(images.Find("cat"), nullptr);
  EXPECT_NE(images.Find("bus"), nullptr);
}

}  // namespace
}  // namespace gateway::endpoints
