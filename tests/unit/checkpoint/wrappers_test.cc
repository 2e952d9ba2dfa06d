#include "checkpoint/wrappers.h"

#include <absl/status/status.h>
#include <gmock/gmock.h>

#include <string>
#include <vector>

namespace checkpoint {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::string_view kAnchors[] = {"backbone", "image_encoder"};

StateDict Named(const std::vector<std::string>& names) {
  StateDict state_dict;
  for (const std::string& name : names) state_dict.emplace_back(name, TensorView());
  return state_dict;
}

std::vector<std::string> NamesOf(const StateDict& state_dict) {
  std::vector<std::string> names;
  for (const auto& [name, view] : state_dict) names.push_back(name);
  return names;
}

TEST(RemoveWrappersTest, WhatPrecedesTheAnchorIsRemovedEverywhere) {
  StateDict state_dict = Named({"model.net.backbone.a", "model.net.head.b", "criterion.c"});
  const auto removed = RemoveWrappers(kAnchors, &state_dict);
  ASSERT_TRUE(removed.ok()) << removed.status();
  EXPECT_EQ(*removed, "model.net.");
  EXPECT_THAT(NamesOf(state_dict), ElementsAre("backbone.a", "head.b", "criterion.c"));
}

TEST(RemoveWrappersTest, WhatHasNoWrapperStays) {
  for (const std::vector<std::string>& names :
       {std::vector<std::string>{"backbone.a", "model.backbone.a", "neck.b"},
        std::vector<std::string>{"x.backbones.a", "backbone"}, std::vector<std::string>{}}) {
    StateDict state_dict = Named(names);
    EXPECT_EQ(RemoveWrappers(kAnchors, &state_dict).value(), "");
    EXPECT_EQ(NamesOf(state_dict), names);
  }
}

TEST(RemoveWrappersTest, WrappersWithinNamesAreRemoved) {
  StateDict state_dict =
      Named({"module._orig_mod.image_encoder.module.a",
             "module.image_encoder._checkpoint_wrapped_module.b", "_fsdp_wrapped_module.neck.c"});
  EXPECT_EQ(RemoveWrappers(kAnchors, &state_dict).value(), "");
  EXPECT_THAT(NamesOf(state_dict), ElementsAre("image_encoder.a", "image_encoder.b", "neck.c"));
}

TEST(RemoveWrappersTest, NoTwoGetOneName) {
  StateDict state_dict = Named({"m.backbone.a", "m.head", "head"});
  EXPECT_EQ(RemoveWrappers(kAnchors, &state_dict).value(), "m.");
  EXPECT_THAT(NamesOf(state_dict), ElementsAre("backbone.a", "m.head", "head"));
}

TEST(RemoveWrappersTest, OfTwoNetworksNoneIsChosen) {
  StateDict state_dict = Named({"student.backbone.a", "teacher.backbone.a"});
  const auto removed = RemoveWrappers(kAnchors, &state_dict);
  EXPECT_TRUE(absl::IsInvalidArgument(removed.status()));
  EXPECT_THAT(std::string(removed.status().message()), HasSubstr("under 'student.', 'teacher.'"));

  std::vector<std::string> names;
  for (int i = 1000; i < 2000; ++i) names.push_back("m" + std::to_string(i) + ".backbone.a");
  StateDict ensemble = Named(names);
  EXPECT_THAT(std::string(RemoveWrappers(kAnchors, &ensemble).status().message()),
              HasSubstr("1000 networks, under 'm1000.', 'm1001.', 'm1002.' and others; save"));
}

}  // namespace
}  // namespace checkpoint
