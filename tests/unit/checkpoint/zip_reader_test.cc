#include "checkpoint/zip_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/testing/zip_files.h"

namespace checkpoint {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;
using testing::Zip;
using testing::ZipFileEntry;

std::string ErrorOf(const std::string& file) {
  return std::string(ReadZipDirectory(file).status().message());
}

TEST(ZipReaderTest, EntriesAreWindowsIntoTheFile) {
  const std::string file = Zip({{.name = "a/x", .payload = "hello"}, {.name = "a/empty"}});

  const auto entries = ReadZipDirectory(file);

  ASSERT_TRUE(entries.ok()) << entries.status();
  ASSERT_THAT(*entries, SizeIs(2));
  EXPECT_EQ((*entries)[0].name, "a/x");
  EXPECT_EQ((*entries)[0].payload, "hello");
  EXPECT_EQ((*entries)[0].payload.data(), file.data() + file.find("hello"));
  EXPECT_EQ((*entries)[1].payload, "");
}

TEST(ZipReaderTest, Zip64NumbersAreUsed) {
  const auto entries = ReadZipDirectory(std::string(
      Zip({{.name = "a", .payload = "one", .zip64 = true}, {.name = "b", .payload = "two"}},
          {.zip64_end = true})));

  ASSERT_TRUE(entries.ok()) << entries.status();
  ASSERT_THAT(*entries, SizeIs(2));
  EXPECT_EQ((*entries)[0].size, 3u);
  EXPECT_EQ((*entries)[1].size, 3u);
}

TEST(ZipReaderTest, ACommentMayFollow) {
  EXPECT_TRUE(ReadZipDirectory(Zip({{.name = "a", .payload = "x"}}, {.comment = "hi"})).ok());
  EXPECT_TRUE(ReadZipDirectory(Zip({}, {.comment = std::string(65535, 'c')})).ok());
}

TEST(ZipReaderTest, CompressedEntriesHaveNoPayload) {
  const std::string file = Zip({{.name = "a", .payload = "xx", .method = 8}});

  const auto entries = ReadZipDirectory(file);

  ASSERT_TRUE(entries.ok()) << entries.status();
  EXPECT_TRUE((*entries)[0].compressed);
  EXPECT_EQ((*entries)[0].payload, "");
}

TEST(ZipReaderTest, TruncatedAnywhereIsAnError) {
  for (const bool zip64_end : {false, true}) {
    const std::string whole =
        Zip({{.name = "a", .payload = "hello"}, {.name = "b", .payload = "world", .zip64 = true}},
            {.zip64_end = zip64_end});
    ASSERT_TRUE(ReadZipDirectory(whole).ok());
    for (std::size_t length = 0; length < whole.size(); ++length) {
      EXPECT_FALSE(ReadZipDirectory(whole.substr(0, length)).ok()) << length;
    }
  }
}

TEST(ZipReaderTest, FlippedBitsNeverReachOutsideOfTheFile) {
  const std::string whole =
      Zip({{.name = "a", .payload = "hello"}, {.name = "b", .payload = "world", .zip64 = true}},
          {.zip64_end = true});
  for (std::size_t i = 0; i < whole.size() * 8; ++i) {
    std::string flipped = whole;
    flipped[i / 8] = static_cast<char>(flipped[i / 8] ^ (1 << i % 8));
    const auto entries = ReadZipDirectory(flipped);
    if (!entries.ok()) continue;
    for (const ZipEntry& entry : *entries) {
      if (entry.payload.empty()) continue;
      EXPECT_GE(entry.payload.data(), flipped.data());
      EXPECT_LE(entry.payload.data() + entry.payload.size(), flipped.data() + flipped.size());
    }
  }
}

TEST(ZipReaderTest, OffsetsAndSizesOutsideAreErrors) {
  for (const std::int64_t shift : {1LL, -1LL, 1000LL, 0xfffffff0LL}) {
    EXPECT_FALSE(ReadZipDirectory(Zip({{.name = "a", .payload = "x", .offset_shift = shift}})).ok())
        << shift;
  }
  EXPECT_THAT(ErrorOf(Zip({{.name = "a", .payload = "x", .size_shift = 1 << 20}})),
              HasSubstr("'a'"));
  EXPECT_FALSE(
      ReadZipDirectory(Zip({{.name = "a", .payload = "x", .size_shift = -2, .zip64 = true}}))
          .ok());  // 2^64 - 1 bytes
}

TEST(ZipReaderTest, OverlappingEntriesAreErrors) {
  // The first one's payload is said to reach into the second one.
  EXPECT_THAT(
      ErrorOf(Zip({{.name = "a", .payload = "x", .size_shift = 9}, {.name = "b", .payload = "y"}})),
      HasSubstr("overlap"));
  // The last one's into the directory.
  EXPECT_THAT(ErrorOf(Zip({{.name = "a", .payload = "x", .size_shift = 9}})), HasSubstr("overlap"));
}

TEST(ZipReaderTest, TwoEntriesOfOneNameAreAnError) {
  EXPECT_THAT(ErrorOf(Zip({{.name = "a", .payload = "x"}, {.name = "a", .payload = "y"}})),
              HasSubstr("two entries named 'a'"));
}

TEST(ZipReaderTest, AHugeCountIsAnErrorNotAnAllocation) {
  EXPECT_THAT(ErrorOf(Zip({{.name = "a", .payload = "x"}}, {.extra_entries = 60000})),
              HasSubstr("60001 entries"));
}

}  // namespace
}  // namespace checkpoint
