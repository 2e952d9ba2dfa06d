#include "label_studio/region_kind.h"

#include <gmock/gmock.h>

#include <boost/json/parse.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "label_studio/context.h"
#include "label_studio/result.h"
#include "tests/testing/status_matchers.h"

namespace label_studio {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::ElementsAre;
using testing::HasSubstr;

namespace json = boost::json;

// Collects the `value` of each region.
class Values final : public RegionSink {
 public:
  std::string* Begin() override { return &text_.emplace_back("{"); }
  void End() override {
    ASSERT_EQ(text_.back().back(), ',');
    text_.back().back() = '}';
  }
  json::array Parsed() const {
    json::array values;
    for (const std::string& text : text_) values.push_back(json::parse(text));
    return values;
  }

 private:
  std::vector<std::string> text_;
};

// A rectangle from (20, 10) to (60, 30) in an image of 100×50.
vision::Mask Filled() {
  vision::Mask mask{{100, 50}, {}};
  for (int y = 10; y < 30; ++y) mask.spans.push_back({y, 20, 60});
  return mask;
}

TEST(RegionKindTest, EveryKindHasARowWithAllThatItNeeds) {
  ASSERT_EQ(RegionKinds().size(), kRegionKindCount);
  std::set<std::string> names;
  std::set<int> answer_orders;
  std::size_t answers = 0;
  for (std::size_t i = 0; i < kRegionKindCount; ++i) {
    const RegionKindInfo& info = InfoOf(static_cast<RegionKind>(i));
    SCOPED_TRACE(info.name);
    EXPECT_EQ(info.kind, static_cast<RegionKind>(i));
    EXPECT_EQ(info.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz"), info.name.npos);
    EXPECT_STRCASEEQ(std::string(info.name).c_str(), std::string(info.tag).c_str());
    EXPECT_NE(info.write_mask, nullptr);
    EXPECT_NE(info.read_prompt, nullptr);
    names.emplace(info.name);
    if (!info.answer_order) continue;
    ++answers;
    answer_orders.insert(*info.answer_order);
  }
  EXPECT_EQ(names.size(), kRegionKindCount);
  EXPECT_EQ(answer_orders.size(), answers);
  EXPECT_EQ(AnswerKinds().size(), answers);
}

TEST(RegionKindTest, EveryNameIsATagARegionTypeAndAnOutput) {
  for (const RegionKindInfo& info : RegionKinds()) {
    SCOPED_TRACE(info.name);
    for (const std::string suffix : {"Labels", ""}) {
      ASSERT_OK_AND_ASSIGN(
          const LabelConfig config,
          ParseLabelConfig("<View><Image name='i' value='$i'/><" + std::string(info.tag) + suffix +
                           " name='c' toName='i'/></View>"));
      EXPECT_EQ(config.controls[0].kind, info.kind);
      EXPECT_EQ(config.controls[0].type, std::string(info.name) + (suffix.empty() ? "" : "labels"));
    }
    ASSERT_OK_AND_ASSIGN(const Outputs outputs, ParseOutputs(info.name));
    EXPECT_THAT(outputs.kinds, ElementsAre(info.kind));
  }
}

TEST(RegionKindTest, WhatAKindWritesItReadsAsAPromptInsideOfTheMask) {
  for (const RegionKindInfo& info : RegionKinds()) {
    SCOPED_TRACE(info.name);
    Values written;

    info.write_mask(Filled(), written);

    const json::array values = written.Parsed();
    ASSERT_EQ(values.size(), 1u);
    const json::object region = {{"value", values[0]}};
    InteractivePrompt prompt;
    prompt.size = {100, 50};
    ASSERT_THAT(info.read_prompt(
                    {.name = "item", .region = &region, .value = &region.at("value").get_object()},
                    &prompt),
                IsOk());
    EXPECT_EQ(prompt.points.size() + prompt.box.has_value() + prompt.mask.has_value(), 1u);
    if (prompt.mask) {
      EXPECT_EQ(*prompt.mask, Filled());
    }
    if (prompt.box) {
      // An ellipse of the same moments reaches a little farther than the rectangle.
      EXPECT_NEAR(prompt.box->x_min, 20, 4);
      EXPECT_NEAR(prompt.box->y_max, 30, 2);
    }
    for (const PromptPoint& point : prompt.points) {
      EXPECT_TRUE(point.positive);
      EXPECT_NEAR(point.at.y, 20, 2);
    }
  }
}

TEST(RegionKindTest, AnEllipsesRotationIsFrom0To180DegreesClockwise) {
  for (const auto& [step, degrees] : {std::pair(1, 45.0), {-1, 135.0}}) {
    vision::Mask band{{100, 50}, {}};
    for (int y = 5; y < 45; ++y) {
      const int x = 50 + step * (y - 25);
      band.spans.push_back({y, x - 3, x + 3});
    }
    Values values;
    InfoOf(RegionKind::kEllipse).write_mask(band, values);
    EXPECT_NEAR(values.Parsed().at(0).at("rotation").to_number<double>(), degrees, 1) << step;
  }
}

TEST(RegionKindTest, AnEmptyMaskMakesNoRegionAndAnEmptyValueNoPrompt) {
  const json::object empty;
  for (const RegionKindInfo& info : RegionKinds()) {
    SCOPED_TRACE(info.name);
    Values written;
    info.write_mask({{100, 50}, {}}, written);
    EXPECT_TRUE(written.Parsed().empty());
    InteractivePrompt prompt;
    prompt.size = {100, 50};
    EXPECT_THAT(info.read_prompt({.name = "item", .region = &empty, .value = &empty}, &prompt),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'item' has no ")));
  }
}

TEST(RegionKindTest, ErrorsNameTheTags) {
  EXPECT_EQ(TagsOf(RegionKinds()),
            "RectangleLabels, BrushLabels, PolygonLabels, EllipseLabels or KeyPointLabels");
  EXPECT_EQ(TagsOf(AnswerKinds()), "BrushLabels, PolygonLabels, EllipseLabels or RectangleLabels");
}

}  // namespace
}  // namespace label_studio
