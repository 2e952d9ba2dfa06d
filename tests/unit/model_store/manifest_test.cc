#include "model_store/manifest.h"

#include <gmock/gmock.h>

#include <cstdint>
#include <limits>
#include <string>

#include "tests/testing/status_matchers.h"

namespace model_store {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::ElementsAre;
using testing::HasSubstr;

Manifest Example() {
  Manifest manifest{.kind = Kind::kSegmenter,
                    .name = "project-7",
                    .version = std::numeric_limits<std::uint64_t>::max(),
                    .parent = 2,
                    .created = "2026-11-30T08:15:00Z",
                    .label_studio_url = "http://localhost:8080",
                    .project_id = 7,
                    .project_created = "2026-11-29T17:00:00.123456Z",
                    .revision = "0123456789abcdef",
                    .images = 20,
                    .annotations = 31,
                    .classes = {"star", "a \"b\"\n", "Straße"},
                    .verdict = Verdict{.outcome = Verdict::Outcome::kBetter,
                                       .reason = "AP50 rose from 0.25 to 1.",
                                       .old_score = 0.25,
                                       .new_score = 1},
                    .seed = 42,
                    .files = {}};
  manifest.files = {{"config.py", 0, std::string(64, 'a')},
                    {std::string(kModelFile), 123, std::string(64, '0')}};
  return manifest;
}

// The text of the example with `before` replaced.
std::string Changed(const std::string& before, const std::string& after) {
  std::string text = ManifestText(Example());
  const auto at = text.find(before);
  EXPECT_NE(at, std::string::npos) << before;
  return text.replace(at, before.size(), after);
}

TEST(ManifestTest, WhatIsWrittenIsRead) {
  const Manifest written = Example();
  ASSERT_OK_AND_ASSIGN(const Manifest read, ParseManifest(ManifestText(written)));
  EXPECT_EQ(ManifestText(read), ManifestText(written));
  EXPECT_EQ(read.kind, Kind::kSegmenter);
  EXPECT_EQ(read.version, 18446744073709551615u);
  EXPECT_EQ(read.parent, 2u);
  EXPECT_EQ(read.label_studio_url, "http://localhost:8080");
  EXPECT_EQ(read.project_id, 7u);
  EXPECT_EQ(read.project_created, "2026-11-29T17:00:00.123456Z");
  EXPECT_EQ(read.images, 20u);
  EXPECT_EQ(read.annotations, 31u);
  EXPECT_EQ(read.seed, 42u);
  EXPECT_THAT(read.classes, ElementsAre("star", "a \"b\"\n", "Straße"));
  ASSERT_TRUE(read.verdict);
  EXPECT_EQ(read.verdict->outcome, Verdict::Outcome::kBetter);
  EXPECT_EQ(read.verdict->reason, "AP50 rose from 0.25 to 1.");
  EXPECT_EQ(read.verdict->old_score, 0.25);
  EXPECT_EQ(read.verdict->new_score, 1);
  ASSERT_EQ(read.files.size(), 2u);
  EXPECT_EQ(read.files[1].name, "model.pth");
  EXPECT_EQ(read.files[1].bytes, 123u);
}

TEST(ManifestTest, TextsThatAreNotUtf8AreMadeSo) {
  Manifest manifest = Example();
  manifest.classes = {"\xff"};
  ASSERT_OK_AND_ASSIGN(const Manifest read, ParseManifest(ManifestText(manifest)));
  EXPECT_THAT(read.classes, ElementsAre("\xef\xbf\xbd"));
}

TEST(ManifestTest, WhatIsDamagedIsSaid) {
  const struct {
    std::string text;
    const char* why;
  } cases[] = {
      {"", "is no JSON"},
      {ManifestText(Example()).substr(0, 200), "is no JSON"},
      {"[]", "is no JSON object"},
      {"{}", "has no 'format'"},
      {Changed("\"segmenter\"", "\"classifier\""), "'kind' is neither"},
      {Changed("18446744073709551615", "18446744073709551616"), "'version' is no whole number"},
      {Changed("\"parent\": 2", "\"parent\": -2"), "'parent' is no whole number"},
      {Changed("\"parent\": 2", "\"parent\": 2.5"), "'parent' is no whole number"},
      {Changed("\"project-7\"", "7"), "'name' is no text"},
      {Changed("\"better\"", "\"best\""), "'outcome' is none of"},
      {Changed("\"old_score\": 0.25", "\"old_score\": 25"), "'old_score' is no number from 0"},
      {Changed("\"star\"", "1"), "'classes' has an element"},
      {Changed("config.py", "../config.py"), "which is no file within"},
      {Changed("model.pth", "other.pth"), "'files' lacks model.pth"},
      {Changed(std::string(64, 'a'), "A"), "'files' has no SHA-256 of"},
  };
  for (const auto& [text, why] : cases) {
    EXPECT_THAT(ParseManifest(text), StatusIs(absl::StatusCode::kDataLoss, HasSubstr(why))) << text;
  }
}

TEST(ManifestTest, ALaterReleasesIsNotDamaged) {
  EXPECT_THAT(ParseManifest(Changed("\"format\": 1", "\"format\": 2")),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("of a later release")));
}

}  // namespace
}  // namespace model_store
