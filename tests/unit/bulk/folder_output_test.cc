// Outputs of one file an image: what the files are called.
#include "bulk/folder_output.h"

#include <gmock/gmock.h>

#include <string>

namespace bulk {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::SizeIs;
using ::testing::StartsWith;

std::string TextOf(const std::string& name) { return PathFor({.name = name}, ".txt"); }

TEST(PathForTest, IsThatOfTheImageWithAnotherEnding) {
  EXPECT_EQ(TextOf("x/a.jpg"), "x/a.txt");
  EXPECT_EQ(TextOf("/data/x/a.b.jpg"), "data/x/a.b.txt");
  EXPECT_EQ(TextOf("../../x/./a"), "x/a.txt");
  EXPECT_EQ(TextOf("https://host:80/x/a%20b.jpg?token=/secret.png#c"), "host:80/x/a b.txt");
  EXPECT_EQ(TextOf("data:image/png;base64,AAAA"), "image.txt");
}

// An object's key is no URL: it may have any of the characters that end a path there.
TEST(PathForTest, OfAnObjectItIsTheKey) {
  EXPECT_EQ(TextOf("s3://bucket/100%25/a#1?.jpg"), "bucket/100%25/a#1?.txt");
  EXPECT_EQ(TextOf("s3://bucket/a+b%"), "bucket/a+b%.txt");
}

TEST(PathForTest, WhatIsTooLongIsCutAndToldApart) {
  const std::string fits(251, 'n');
  EXPECT_EQ(TextOf(fits + ".jpeg"), fits + ".txt");
  const std::string cut = TextOf(fits + "n.jpeg");
  EXPECT_THAT(cut, AllOf(SizeIs(255), StartsWith("nnn"), EndsWith(".txt")));
  EXPECT_NE(cut, TextOf(fits + "m.jpeg"));
  EXPECT_THAT(TextOf(std::string(300, 'f') + "/a.jpg"), AllOf(SizeIs(255 + 6), EndsWith("/a.txt")));
  std::string deep;
  for (int i = 0; i < 100; ++i) deep += std::string(100, 'd') + "/";
  EXPECT_THAT(TextOf(deep + "a.jpg"), AllOf(SizeIs(16 + 4), EndsWith(".txt")));
  EXPECT_NE(TextOf(deep + "a.jpg"), TextOf(deep + "b.jpg"));
}

}  // namespace
}  // namespace bulk
