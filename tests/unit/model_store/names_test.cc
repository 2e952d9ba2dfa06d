#include "model_store/names.h"

#include <gmock/gmock.h>

#include <optional>
#include <string>

#include "tests/testing/status_matchers.h"

namespace model_store {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::HasSubstr;

TEST(NamesTest, ANameIsOnePartOfAPathAndNotTheDefaultModels) {
  for (const char* name : {"project-7", "a", "7", "a..b", "a.b_c-d"}) {
    EXPECT_THAT(CheckName(name), IsOk()) << name;
  }
  EXPECT_THAT(CheckName(std::string(64, 'a')), IsOk());
  const std::string refused[] = {
      "",     ".",  "..",        ".hidden", "-a",   "a/b",    "../a",
      "/a",   "A",  "a b",       "default", "a\nb", "projét", std::string(65, 'a'),
      "a\\b", "_a", "a%2f..%2f", "a\xff"};
  for (const std::string& name : refused) {
    EXPECT_THAT(CheckName(name), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'")))
        << name;
  }
  EXPECT_THAT(CheckName(std::string("a\0b", 3)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is no model's name")));
}

TEST(NamesTest, OfALongNameOnlyTheBeginningIsQuoted) {
  EXPECT_LT(CheckName(std::string(1 << 20, '\xff')).message().size(), 500u);
}

TEST(NamesTest, VersionsAreWrittenInOneWay) {
  EXPECT_EQ(ParseVersion("1"), 1u);
  EXPECT_EQ(ParseVersion("10"), 10u);
  EXPECT_EQ(ParseVersion("18446744073709551615"), 18446744073709551615u);
  for (const char* text : {"", "0", "01", "+1", "-1", " 1", "1 ", "1.0", "1e3", "0x1", "a",
                           "18446744073709551616", "99999999999999999999999999"}) {
    EXPECT_EQ(ParseVersion(text), std::nullopt) << text;
  }
}

TEST(NamesTest, KindsAreFolders) {
  EXPECT_EQ(ParseKind("detector"), Kind::kDetector);
  EXPECT_EQ(ParseKind("segmenter"), Kind::kSegmenter);
  EXPECT_EQ(ParseKind(".."), std::nullopt);
  EXPECT_EQ(ProjectName(7), "project-7");
  EXPECT_EQ(ProjectOf("project-7"), 7U);
  for (const char* other : {"project-", "project-07", "project-x", "project-7x", "cats", "7"}) {
    EXPECT_FALSE(ProjectOf(other)) << other;
  }
}

}  // namespace
}  // namespace model_store
