#include "prelabel/settings.h"

#include <gmock/gmock.h>

#include <boost/json/parse.hpp>
#include <string>

#include "tests/testing/status_matchers.h"

namespace prelabel {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

absl::StatusOr<Settings> Refined(const char* json, bool strict = true) {
  return Refine(Settings(), boost::json::parse(json).as_object(), strict);
}

TEST(SettingsTest, EveryKeyIsRead) {
  ASSERT_OK_AND_ASSIGN(const Settings settings, Refined(R"({
    "score_threshold": 0.25, "max_detections": 7, "class_agnostic": true,
    "outputs": ["rectangle", "brush"], "label_map": {"cat": "Katze"}, "mask_source": "sam",
    "degrade": "boxes", "background": "push", "score": "uncertainty"})"));

  EXPECT_EQ(settings.score_threshold, 0.25);
  EXPECT_EQ(settings.max_detections, 7);
  EXPECT_EQ(settings.class_agnostic, true);
  EXPECT_EQ(settings.outputs, "rectangle,brush");
  EXPECT_EQ(settings.label_map.at("cat"), "Katze");
  EXPECT_EQ(settings.mask_source, MaskSource::kSam);
  EXPECT_EQ(settings.degrade, Degrade::kBoxes);
  EXPECT_EQ(settings.background, Background::kPush);
  EXPECT_EQ(settings.score, Score::kUncertainty);
}

TEST(SettingsTest, EveryChoiceIsReadByItsName) {
  for (const MaskSource choice : {MaskSource::kAuto, MaskSource::kSam}) {
    const std::string json = "{\"mask_source\": \"" + std::string(NameOf(choice)) + "\"}";
    EXPECT_EQ(Refined(json.c_str())->mask_source, choice) << json;
  }
  for (const Degrade choice : {Degrade::kNone, Degrade::kBoxes}) {
    const std::string json = "{\"degrade\": \"" + std::string(NameOf(choice)) + "\"}";
    EXPECT_EQ(Refined(json.c_str())->degrade, choice) << json;
  }
  for (const Score choice : {Score::kMean, Score::kUncertainty}) {
    const std::string json = "{\"score\": \"" + std::string(NameOf(choice)) + "\"}";
    EXPECT_EQ(Refined(json.c_str())->score, choice) << json;
  }
  for (const Background choice : {Background::kNone, Background::kPush}) {
    const std::string json = "{\"background\": \"" + std::string(NameOf(choice)) + "\"}";
    EXPECT_EQ(Refined(json.c_str())->background, choice) << json;
    Background parsed = choice == Background::kNone ? Background::kPush : Background::kNone;
    std::string error;
    EXPECT_TRUE(AbslParseFlag(AbslUnparseFlag(choice), &parsed, &error)) << error;
    EXPECT_EQ(parsed, choice);
  }
}

TEST(SettingsTest, BothEndsOfARangeAreInIt) {
  for (const char* fits : {R"({"score_threshold": 0})", R"({"score_threshold": 1})",
                           R"({"max_detections": 1})", R"({"max_detections": 100000})"}) {
    EXPECT_THAT(Refined(fits), IsOk()) << fits;
  }
  for (const char* other : {R"({"score_threshold": -0.001})", R"({"score_threshold": 1.001})",
                            R"({"max_detections": 0})", R"({"max_detections": 100001})"}) {
    EXPECT_THAT(Refined(other), StatusIs(absl::StatusCode::kInvalidArgument)) << other;
  }
}

TEST(SettingsTest, ErrorsNameTheKeyAndWhatIsNeeded) {
  EXPECT_THAT(Refined(R"({"background": "later"})"),
              StatusIs(kInvalid, "background is \"later\" but must be \"none\" or \"push\""));
  EXPECT_THAT(Refined(R"({"score_threshold": 2})"), StatusIs(kInvalid, HasSubstr("from 0 to 1")));
  EXPECT_THAT(Refined(R"({"class_agnostic": 1})"),
              StatusIs(kInvalid, "class_agnostic is 1 but must be true or false"));
  EXPECT_THAT(Refined(R"({"colour": 2})"), StatusIs(kInvalid, HasSubstr("unknown key \"colour\"")));
  EXPECT_THAT(Refined(R"({"colour": 2})", /*strict=*/false), IsOk());
  EXPECT_THAT(Refined(R"({"label_maps": {}})"),
              StatusIs(kInvalid, EndsWith("; did you mean \"label_map\"?")));
}

TEST(SettingsTest, KeysThatLookMisspeltAreNamed) {
  const auto misspelt = [](const char* json) {
    return Misspelt(boost::json::parse(json).as_object());
  };
  EXPECT_THAT(misspelt(R"({"score_threshold": 1, "title": 2, "": 3})"), IsEmpty());
  EXPECT_THAT(misspelt(R"({"maxDetections": 1, "title": 2, "mask-source": 3})"),
              ElementsAre("\"maxDetections\" is ignored; did you mean \"max_detections\"?",
                          "\"mask-source\" is ignored; did you mean \"mask_source\"?"));
  // Somebody may send very many.
  EXPECT_THAT(misspelt(R"({"slicea":1,"sliceb":1,"slicec":1,"sliced":1,"slicee":1,"slicef":1})"),
              SizeIs(5));
}

TEST(SettingsTest, SlicesAreANumberOrAnObject) {
  ASSERT_OK_AND_ASSIGN(Settings settings, Refined(R"({"slice": 1024})"));
  EXPECT_EQ(settings.slice, Slicing{.tile = 1024});
  ASSERT_OK_AND_ASSIGN(settings, Refined(R"({"slice": {"tile": 512, "overlap": 0.5, "join": "nmm",
    "metric": "iou", "threshold": 0.25, "whole_image": false}})"));
  EXPECT_EQ(settings.slice, (Slicing{.tile = 512,
                                     .overlap = 0.5,
                                     .join = SliceJoin::kNmm,
                                     .metric = SliceMetric::kIou,
                                     .threshold = 0.25,
                                     .whole_image = false}));
  boost::json::object off;
  off["slice"] = false;
  ASSERT_OK_AND_ASSIGN(settings, Refine(settings, off, true));
  EXPECT_EQ(settings.slice, std::nullopt) << "a project may switch off what its profile has";

  const std::pair<const char*, const char*> kWrong[] = {
      {"10", "slice is 10 but must be a whole number of pixels from 64 to 1000000"},
      {"1024.5", "slice is 1.0245E3 but must be a whole number of pixels"},
      {"true", "slice is true but must be false, a whole number of pixels, or an object"},
      {"{}", "slice is {} but must be an object with a \"tile\""},
      {R"({"tile": 9})", "slice.tile is 9 but must be"},
      {R"({"tile": 99, "overlap": 1})", "slice.overlap is 1 but must be a number from 0 to 0.9"},
      {R"({"tile": 99, "threshold": 0})",
       "slice.threshold is 0 but must be a number greater than 0"},
      {R"({"tile": 99, "join": "best"})",
       "slice.join is \"best\" but must be \"auto\" or \"nms\" or \"nmm\" or \"greedy_nmm\""},
      {R"({"tile": 99, "whole_image": 1})", "slice.whole_image is 1 but must be true or false"},
      {R"({"tile": 99, "colour": 1})", "slice has the unknown key \"colour\""}};
  for (const auto& [value, message] : kWrong) {
    const std::string text = std::string(R"({"slice": )") + value + "}";
    EXPECT_THAT(Refined(text.c_str(), /*strict=*/false), StatusIs(kInvalid, HasSubstr(message)));
  }
}

TEST(SettingsTest, FingerprintsAreThoseOfEarlierVersions) {
  EXPECT_EQ(Fingerprint(Settings()), "3c3423e7");
  EXPECT_EQ(Fingerprint(*Refined(R"({"mask_source": "sam", "degrade": "boxes"})")), "ef7909b9");
}

TEST(SettingsTest, TheFingerprintChangesWithTheAnswersOnly) {
  const std::string plain = Fingerprint(Settings());

  for (const char* other :
       {R"({"score_threshold": 0.25})", R"({"max_detections": 7})", R"({"outputs": "brush"})",
        R"({"class_agnostic": true})", R"({"class_agnostic": false})",
        R"({"label_map": {"a": "b"}})", R"({"mask_source": "sam"})", R"({"degrade": "boxes"})",
        R"({"score": "uncertainty"})", R"({"slice": 1024})", R"({"slice": 1000})",
        R"({"slice": {"tile": 1024, "overlap": 0.3}})",
        R"({"slice": {"tile": 1024, "join": "nms"}})"}) {
    EXPECT_NE(Fingerprint(*Refined(other)), plain) << other;
  }
  EXPECT_EQ(Fingerprint(*Refined(R"({"background": "push"})")), plain)
      << "where an answer is stored from doesn't change it";
}

}  // namespace
}  // namespace prelabel
