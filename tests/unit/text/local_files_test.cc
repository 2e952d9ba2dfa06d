#include "text/local_files.h"

#include <gtest/gtest.h>

namespace text {
namespace {

TEST(LocalFilesTest, TheFileIsReadAsLabelStudioReadsIt) {
  EXPECT_EQ(LocalFileOf("/data/local-files/?d=in/a%20b.jpg"), "in/a b.jpg");
  EXPECT_EQ(LocalFileOf("http://host:8080/ls/data/local-files/?d=a.jpg"), "a.jpg");
  EXPECT_EQ(LocalFileOf("/data/local-files?d=a.jpg"), "a.jpg");
  EXPECT_EQ(LocalFileOf("/data/local-files/?x=1&d=a+b%2B.jpg&y=2#z"), "a b+.jpg");
  EXPECT_EQ(LocalFileOf("/data/local-files/?d=a.jpg&d=b.jpg"), "b.jpg") << "as Django does it";
  EXPECT_EQ(LocalFileOf("/data/local-files/?d="), "");
}

TEST(LocalFilesTest, OtherAddressesHaveNone) {
  for (const char* address :
       {"", "a.jpg", "/data/local-files/", "/data/local-files/?x=1", "/data/local-files/a?d=a.jpg",
        "/data/local-files-other/?d=a.jpg", "/data/upload/1/a.jpg?d=a.jpg",
        "https://host/?d=/data/local-files/?x", "/data/local-files/#?d=a.jpg"}) {
    EXPECT_EQ(LocalFileOf(address), std::nullopt) << address;
  }
}

}  // namespace
}  // namespace text
