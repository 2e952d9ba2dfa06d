// duet-train segmenter as a process: what it writes, and that an interruption changes nothing.
//
// The model is the demo's, on small scenes. One thread: a training that goes on must give the very
// bits of one that was never interrupted.
#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>
#include <signal.h>

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/subprocess.h"
#include "tests/testing/temp_dir.h"
#include "trainer/scenes/scene.h"
#include "trainer/scenes/scene_files.h"

namespace trainer {
namespace {

using duet_testing::IsOk;
using duet_testing::ReadFile;
using duet_testing::Subprocess;
using testing::AllOf;
using testing::HasSubstr;

namespace fs = std::filesystem;

class DuetTrainSegmenterTest : public testing::Test {
 protected:
  void SetUp() override {
    std::vector<Scene> scenes;
    for (int n = 0; n < 6; ++n) {
      SceneOptions options{.size = {160, n % 2 == 0 ? 160 : 120}, .min_objects = 1};
      options.max_objects = 2;
      options.min_radius = 0.15;
      options.max_radius = 0.3;
      scenes.push_back(
          DrawScene(SceneSeed(3, "segmenter", static_cast<std::uint64_t>(n)), options));
    }
    ASSERT_THAT(WriteAnnotatedScenes(scenes, dir_.path()), IsOk());
  }

  std::vector<std::string> Command(const std::string& out, std::vector<std::string> more = {}) {
    std::vector<std::string> command = {DUET_TRAIN,
                                        "segmenter",
                                        "--data=" + dir_.path() + "/coco.json",
                                        "--images=" + dir_.path(),
                                        "--from=" DUET_SOURCE_DIR "/models/demo/sam-demo.pth",
                                        "--out=" + dir_.path() + "/" + out,
                                        "--batch=2",
                                        "--epochs=2",
                                        "--corrections=1",
                                        "--threads=1",
                                        "--json"};
    command.insert(command.end(), more.begin(), more.end());
    return command;
  }

  std::string Read(const std::string& name) { return ReadFile(dir_.path() + "/" + name); }

  std::string Error(const std::vector<std::string>& more) {
    Subprocess train(Command("refused", more));
    EXPECT_NE(train.Wait(300), 0);
    return train.err();
  }

  const duet_testing::TempDir dir_;
};

std::vector<boost::json::object> Lines(const std::string& text) {
  std::vector<boost::json::object> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    lines.push_back(boost::json::parse(line).as_object());
  }
  return lines;
}

TEST_F(DuetTrainSegmenterTest, SaysWhatWasBeforeAndGoesOnToTheSameBits) {
  Subprocess whole(Command("whole"));
  ASSERT_EQ(whole.Wait(300), 0) << whole.err();

  const std::vector<boost::json::object> log = Lines(Read("whole/log.jsonl"));
  const boost::json::object& end = log.back();
  ASSERT_EQ(end.at("event"), "end");
  EXPECT_EQ(end.at("before").at("objects"), end.at("best").at("objects"));
  EXPECT_GE(end.at("best").at("iou").as_double(), end.at("before").at("iou").as_double());
  EXPECT_GT(end.at("before").at("iou_from_box").as_double(), 0.5);
  const auto first = std::find_if(log.begin(), log.end(), [](const boost::json::object& line) {
    return line.at("event") == "evaluation";
  });
  EXPECT_EQ(first->at("step"), 0);
  EXPECT_FALSE(first->at("by_image").as_array().empty());
  EXPECT_THAT(Read("whole/report.md"), HasSubstr("| after 5 clicks |"));
  EXPECT_THAT(checkpoint::ReadCheckpoint(dir_.path() + "/whole/best.pth"), IsOk());
  EXPECT_FALSE(fs::exists(dir_.path() + "/whole/embeddings"));
  EXPECT_FALSE(fs::exists(dir_.path() + "/whole/state.pth"));

  Subprocess stopped(Command("stopped"));
  while (stopped.out().find("\"event\":\"saved\"") == std::string::npos && stopped.err().empty()) {
    std::this_thread::yield();
  }
  stopped.Signal(SIGTERM);
  const int code = stopped.Wait(300);
  ASSERT_TRUE(code == 128 + SIGTERM || code == -SIGTERM) << code << stopped.err();
  EXPECT_TRUE(fs::exists(dir_.path() + "/stopped/embeddings"));
  Subprocess rest(Command("stopped"));
  ASSERT_EQ(rest.Wait(300), 0) << rest.err();
  EXPECT_THAT(rest.out(), HasSubstr("going on after step"));
  for (const char* name : {"/best.pth", "/last.pth"}) {
    EXPECT_TRUE(Read(absl::StrCat("whole", name)) == Read(absl::StrCat("stopped", name))) << name;
  }

  Subprocess again(Command("whole"));
  EXPECT_EQ(again.Wait(300), 0);
  EXPECT_THAT(again.out(), HasSubstr("finished already"));
}

TEST_F(DuetTrainSegmenterTest, NamesWhatItCannotUse) {
  EXPECT_THAT(Error({"--from=" DUET_SOURCE_DIR "/models/demo/rtmdet-demo.pth"}),
              AllOf(HasSubstr("rtmdet-demo.pth"), HasSubstr("detector's checkpoint")));
  EXPECT_THAT(Error({"--lr=0"}), HasSubstr("--lr"));
  EXPECT_THAT(Error({"--label_config=" + dir_.Write("config.xml", "<View/>")}),
              AllOf(HasSubstr("--label_config"), HasSubstr("coco.json is COCO")));

  boost::json::value boxes = boost::json::parse(Read("coco.json"));
  for (boost::json::value& annotation : boxes.at("annotations").as_array()) {
    annotation.as_object().erase("segmentation");
  }
  const std::string path = dir_.Write("boxes.json", boost::json::serialize(boxes));
  EXPECT_THAT(
      Error({"--data=" + path}),
      AllOf(HasSubstr("boxes.json"), HasSubstr("no training image has an object with a mask")));
}

}  // namespace
}  // namespace trainer
