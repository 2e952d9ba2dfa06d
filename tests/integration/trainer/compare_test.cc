// `duet-train compare` as a process, with the demo's detector.
#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/pth_writer.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/subprocess.h"
#include "tests/testing/temp_dir.h"
#include "trainer/scenes/held_out.h"
#include "trainer/scenes/scene_files.h"

namespace trainer {
namespace {

using duet_testing::IsOk;
using duet_testing::ReadFile;
using duet_testing::Subprocess;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

constexpr char kDemo[] = DUET_SOURCE_DIR "/models/demo/rtmdet-demo.pth";
// Random weights, COCO's classes.
constexpr char kRandom[] = DUET_SOURCE_DIR "/tests/data/detector/ins.pth";

class CompareTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    data_ = new duet_testing::TempDir;
    ASSERT_THAT(WriteAnnotatedScenes(HeldOutScenes(/*seed=*/4, /*count=*/8), data_->path()),
                IsOk());
  }
  static void TearDownTestSuite() { delete data_; }

  static std::string Data() { return "--data=" + data_->path() + "/coco.json"; }

  static std::vector<std::string> Command(const std::string& command,
                                          std::vector<std::string> more) {
    std::vector<std::string> words = {DUET_TRAIN, command, Data(), "--images=" + data_->path()};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  static boost::json::object Compare(std::vector<std::string> more) {
    more.emplace_back("--json");
    Subprocess compare(Command("compare", more));
    EXPECT_EQ(compare.Wait(), 0) << compare.err();
    return boost::json::parse(compare.out()).as_object();
  }

  static duet_testing::TempDir* data_;
  const duet_testing::TempDir folder_;
};

duet_testing::TempDir* CompareTest::data_ = nullptr;

TEST_F(CompareTest, AModelThatFindsIsBetterThanNone) {
  const boost::json::object first = Compare({absl::StrCat("--new=", kDemo)});
  EXPECT_EQ(first.at("outcome"), "better");
  EXPECT_EQ(first.at("old_score").to_number<double>(), 0);
  EXPECT_GT(first.at("new_score").to_number<double>(), 0.8);
  EXPECT_EQ(first.at("images").to_number<int>(), 8);

  const boost::json::object worse =
      Compare({absl::StrCat("--old=", kDemo), absl::StrCat("--new=", kRandom)});
  EXPECT_EQ(worse.at("outcome"), "not_better");
  EXPECT_EQ(worse.at("old_score"), first.at("new_score"));
  EXPECT_EQ(worse.at("removed_classes").as_array().size(), 10u);
}

TEST_F(CompareTest, AClassThatTheOldOneDoesNotKnowIsNew) {
  ASSERT_OK_AND_ASSIGN(checkpoint::Checkpoint demo, checkpoint::ReadCheckpoint(kDemo));
  demo.meta.classes[3] = "asterisk";
  const std::string renamed = folder_.path() + "/renamed.pth";
  ASSERT_THAT(checkpoint::WritePth(renamed, demo.state_dict, demo.meta), IsOk());

  const boost::json::object report =
      Compare({absl::StrCat("--old=", renamed), absl::StrCat("--new=", kDemo)});

  EXPECT_EQ(boost::json::serialize(report.at("new_classes")), R"(["star"])");
  EXPECT_EQ(boost::json::serialize(report.at("removed_classes")), R"(["asterisk"])");
  EXPECT_THAT(report.at("reason").as_string().c_str(), HasSubstr("no longer knows asterisk."));
  EXPECT_EQ(report.at("by_class").at("star").at("old").to_number<double>(), 0);
}

// People see "Stern" where the model says "star".
TEST_F(CompareTest, AClassIsMeasuredAsTheLabelThatItStandsFor) {
  std::string coco = ReadFile(data_->path() + "/coco.json");
  for (const auto& [name, label] :
       {std::pair(R"("star")", R"("Stern")"), {R"("circle")", R"("Circle")"}}) {
    const std::size_t at = coco.find(name);
    ASSERT_NE(at, std::string::npos);
    coco.replace(at, std::string_view(name).size(), label);
  }
  folder_.Write("coco.json", coco);
  folder_.Write("config.xml", R"(<View><Image name="image" value="$image"/>
    <RectangleLabels name="box" toName="image"><Label value="Stern" predicted_values="star"/>
    <Label value="Circle"/></RectangleLabels></View>)");
  const std::string data = "--data=" + folder_.path() + "/coco.json";

  const boost::json::object by_name =
      Compare({data, absl::StrCat("--old=", kDemo), "--new=" + std::string(kRandom)});
  const boost::json::object by_label =
      Compare({data, absl::StrCat("--old=", kDemo), absl::StrCat("--new=", kRandom),
               "--label_config=" + folder_.path() + "/config.xml"});

  const auto old_score = [](const boost::json::object& report, const char* name) {
    return report.at("by_class").at(name).at("old").to_number<double>();
  };
  EXPECT_EQ(old_score(by_name, "Stern"), 0);
  EXPECT_GT(old_score(by_label, "Stern"), 0.8);
  EXPECT_GT(old_score(by_label, "Circle"), 0.8) << "case is folded";
  EXPECT_THAT(boost::json::serialize(by_label.at("removed_classes")), HasSubstr("\"star\""));
}

TEST_F(CompareTest, ItTellsEachImage) {
  Subprocess compare(
      Command("compare", {absl::StrCat("--new=", kDemo), "--progress", "--threads=1", "--json"}));
  ASSERT_EQ(compare.Wait(), 0) << compare.err();
  EXPECT_THAT(compare.out(), StartsWith(R"({"event":"compared","images":1,"of":8})"));
  EXPECT_THAT(compare.out(), HasSubstr(R"({"event":"compared","images":8,"of":8})"));
}

TEST_F(CompareTest, TheSameModelIsNotBetter) {
  const std::string copy = folder_.path() + "/copy.pth";
  std::filesystem::copy_file(kDemo, copy);
  Subprocess compare(Command("compare", {absl::StrCat("--old=", kDemo), "--new=" + copy}));
  ASSERT_EQ(compare.Wait(), 0) << compare.err();
  EXPECT_THAT(compare.out(), StartsWith("not_better: "));
}

TEST_F(CompareTest, WhatAModelHasFoundStandsForIt) {
  const std::string found = folder_.path() + "/found.json";
  Subprocess evaluate(
      Command("evaluate", {absl::StrCat("--checkpoint=", kDemo), "--found=" + found}));
  ASSERT_EQ(evaluate.Wait(), 0) << evaluate.err();

  const boost::json::object by_file = Compare({"--new_detections=" + found});
  EXPECT_EQ(by_file, Compare({absl::StrCat("--new=", kDemo)}));
}

TEST_F(CompareTest, WhatCannotBeDoneIsOneLine) {
  const auto error = [&](const std::vector<std::string>& more) {
    Subprocess compare(Command("compare", more));
    EXPECT_EQ(compare.Wait(), 1);
    const std::string text = compare.err();
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
    return text;
  };
  EXPECT_THAT(error({}), HasSubstr("--new"));
  EXPECT_THAT(error({absl::StrCat("--new=", kDemo), "--new_detections=x.json"}),
              HasSubstr("--new_detections"));
  EXPECT_THAT(error({absl::StrCat("--new=", kDemo), "--old=/nowhere.pth"}),
              HasSubstr("/nowhere.pth"));
  EXPECT_THAT(error({"--new_detections=" + data_->path() + "/coco.json"}),
              AllOf(HasSubstr("coco.json"), HasSubstr("COCO's results")));
  EXPECT_THAT(error({absl::StrCat("--new=", kDemo), "--images=/nowhere"}), HasSubstr("scene_0"));
}

}  // namespace
}  // namespace trainer
