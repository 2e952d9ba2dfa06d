#include "text/str_cat.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace text {
namespace {

TEST(StrCatTest, TakesTextsOfEveryTypeAndNumbers) {
  const std::string_view view = "view";
  const absl::string_view abseil = "abseil";
  EXPECT_EQ(StrCat(view, "/", std::string("string"), "/", abseil, "/", 7, "/", 0.5),
            "view/string/abseil/7/0.5");
  EXPECT_EQ(StrCat(), "");
}

TEST(StrCatTest, AppendsBehindWhatIsThere) {
  std::string all = "a";
  StrAppend(&all, std::string_view("bc", 1), 2);
  EXPECT_EQ(all, "ab2");
}

TEST(StrCatTest, BothKindsOfViewShowTheSameBytes) {
  const std::string_view bytes("a\0b", 3);
  EXPECT_EQ(StdView(View(bytes)), bytes);
  EXPECT_EQ(View(bytes).data(), bytes.data());
}

}  // namespace
}  // namespace text
