// duet-train segmenter as a process: what it writes, and that an interruption changes nothing.
//
// The model is the demo's, on small scenes. One thread: a training that goes on must give the very
// bits of one that was never interrupted.
#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>
#include <signal.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/pth_writer.h"
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
  const auto step = std::find_if(log.begin(), log.end(), [](const boost::json::object& line) {
    return line.at("event") == "step";
  });
  EXPECT_GE(step->at("seconds_left").as_int64(), 0);
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
  Subprocess rest(Command("stopped", {"--report_of=last"}));
  ASSERT_EQ(rest.Wait(300), 0) << rest.err();
  EXPECT_THAT(rest.out(), HasSubstr("going on after step"));
  EXPECT_THAT(Read("whole/report.md"), HasSubstr("| before | `best.pth` |"));
  EXPECT_THAT(Read("stopped/report.md"), HasSubstr("| before | `last.pth` |"));
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

class CompareSegmentersTest : public DuetTrainSegmenterTest {
 protected:
  static constexpr char kDemo[] = DUET_SOURCE_DIR "/models/demo/sam-demo.pth";

  Subprocess Ask(const std::vector<std::string>& more) {
    std::vector<std::string> command = {DUET_TRAIN, "compare",
                                        "--data=" + dir_.path() + "/coco.json",
                                        "--images=" + dir_.path(), "--threads=1"};
    command.insert(command.end(), more.begin(), more.end());
    return Subprocess(command);
  }
  boost::json::object Compare(const std::string& old_model, const std::string& new_model) {
    Subprocess compare = Ask({"--old=" + old_model, "--new=" + new_model, "--json"});
    EXPECT_EQ(compare.Wait(300), 0) << compare.err();
    return boost::json::parse(compare.out()).as_object();
  }
  // The demo's model whose tensors of these names have forgotten what they knew.
  std::string Spoilt(const std::string& part, const std::string& name) {
    auto file = checkpoint::ReadCheckpoint(kDemo);
    EXPECT_THAT(file, IsOk());
    for (auto& [tensor, view] : file->state_dict) {
      if (tensor.find(part) == std::string::npos) continue;
      auto zeros = std::make_shared<std::vector<float>>(view.NumElements(), 0.0F);
      view.data = reinterpret_cast<const std::byte*>(zeros->data());
      view.owner = zeros;
    }
    std::string path = dir_.path() + "/" + name;
    EXPECT_THAT(checkpoint::WritePth(path, file->state_dict, std::nullopt), IsOk());
    return path;
  }
};

TEST_F(CompareSegmentersTest, WhoForgotItsMasksIsWorseAndTheOtherWayRoundBetter) {
  const std::string worse = Spoilt("output_hypernetworks_mlps", "worse.pth");

  const boost::json::object fell = Compare(kDemo, worse);
  EXPECT_EQ(fell.at("outcome"), "not_better") << fell;
  EXPECT_FALSE(fell.at("fallen").as_array().empty());
  EXPECT_EQ(fell.at("by_prompt").as_object().size(), 6u) << "a box and five clicks";
  EXPECT_GT(fell.at("by_prompt").at("IoU from a box").at("old").as_double(), 0.5);

  const boost::json::object rose = Compare(worse, kDemo);
  EXPECT_EQ(rose.at("outcome"), "better") << rose;
  EXPECT_EQ(rose.at("old_score"), fell.at("new_score")) << "the same clicks each time";
  EXPECT_EQ(rose.at("new_score"), fell.at("old_score"));
  EXPECT_EQ(rose.at("images"), 6);
}

// Two encoders need an embedding each; decoders that share one do not.
TEST_F(CompareSegmentersTest, AnotherEncoderHasEmbeddingsOfItsOwn) {
  const boost::json::object report = Compare(Spoilt("image_encoder.neck", "blind.pth"), kDemo);
  const boost::json::object same = Compare(kDemo, kDemo);
  EXPECT_EQ(report.at("new_score"), same.at("new_score"));
  EXPECT_LT(report.at("old_score").as_double(), same.at("old_score").as_double());
  EXPECT_EQ(same.at("outcome"), "not_better");
  EXPECT_THAT(std::string(same.at("reason").as_string()), HasSubstr("the very same"));
}

TEST_F(CompareSegmentersTest, ItTellsEachImageAndWhatCannotBeDoneIsOneLine) {
  Subprocess compare = Ask({absl::StrCat("--new=", kDemo), "--progress"});
  ASSERT_EQ(compare.Wait(300), 0) << compare.err();
  EXPECT_THAT(compare.out(), AllOf(HasSubstr(R"({"event":"compared","images":6,"of":6})"),
                                   HasSubstr("better: IoU from a box goes from 0.000 to ")));

  const auto error = [&](const std::string& flag) {
    Subprocess refused = Ask({absl::StrCat("--new=", kDemo), flag});
    EXPECT_EQ(refused.Wait(300), 1);
    const std::string text = refused.err();
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
    return text;
  };
  EXPECT_THAT(error("--old_detections=x.json"), HasSubstr("--old_detections is for detectors"));
  EXPECT_THAT(error("--label_config=x.xml"), HasSubstr("--label_config is for detectors"));
  EXPECT_THAT(error("--precision=bf16"), HasSubstr("--precision is for detectors"));
  EXPECT_THAT(error("--old=" DUET_SOURCE_DIR "/models/demo/rtmdet-demo.pth"),
              HasSubstr("rtmdet-demo.pth"));
  EXPECT_THAT(error("--old=/nowhere.pth"), HasSubstr("/nowhere.pth"));
  EXPECT_THAT(error("--images=/nowhere"), HasSubstr("scene_0"));
}

}  // namespace
}  // namespace trainer
