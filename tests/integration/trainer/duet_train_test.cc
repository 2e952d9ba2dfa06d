// duet-train as a process: whatever happens to it, nothing is lost but the steps since its last
// save, and what is there is whole.
//
// The model is the demo's, on scenes of 64 pixels: a step takes a few milliseconds. One thread: a
// training that goes on must give the very bits of one that was never interrupted.
#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>
#include <signal.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <thread>
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

namespace fs = std::filesystem;

class DuetTrainTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    data_ = new duet_testing::TempDir;
    ASSERT_THAT(WriteAnnotatedScenes(HeldOutScenes(/*seed=*/3, /*count=*/10), data_->path()),
                IsOk());
    reference_ = new duet_testing::TempDir;
    Subprocess train(Command(reference_->path()));
    ASSERT_EQ(train.Wait(), 0) << train.err();
  }
  static void TearDownTestSuite() {
    delete data_;
    delete reference_;
  }

  // Twelve epochs of two steps, each measured and saved.
  static std::vector<std::string> Command(const std::string& out,
                                          std::vector<std::string> more = {}) {
    std::vector<std::string> command = {DUET_TRAIN,
                                        "--data=" + data_->path() + "/coco.json",
                                        "--images=" + data_->path(),
                                        "--from=" DUET_SOURCE_DIR "/models/demo/rtmdet-demo.pth",
                                        "--out=" + out,
                                        "--input_size=64",
                                        "--batch=4",
                                        "--epochs=12",
                                        "--threads=1",
                                        "--json"};
    command.insert(command.end(), more.begin(), more.end());
    return command;
  }

  // The folder's results are those of the training that nobody interrupted, to the bit.
  static void ExpectTheReference(const std::string& out) {
    for (const char* name : {"best.pth", "last.pth", "config.py"}) {
      EXPECT_TRUE(ReadFile(out + "/" + name) == ReadFile(reference_->path() + "/" + name)) << name;
    }
    EXPECT_EQ(StepsIn(out), StepsIn(reference_->path()));
  }

  static std::vector<boost::json::object> Lines(const std::string& text) {
    std::vector<boost::json::object> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) {
      lines.push_back(boost::json::parse(line).as_object());
    }
    return lines;
  }

  // How often the log says that a step, or an evaluation after it, was done.
  static std::map<std::string, int> StepsIn(const std::string& out) {
    std::map<std::string, int> counts;
    for (const boost::json::object& line : Lines(ReadFile(out + "/log.jsonl"))) {
      if (line.at("event") != "step" && line.at("event") != "evaluation") continue;
      ++counts[absl::StrCat(line.at("event").as_string().c_str(), " ",
                            line.at("step").to_number<int>())];
    }
    return counts;
  }

  // Until the process has said so many lines, its last one, or an error.
  static void WaitForLines(const Subprocess& train, int lines) {
    const auto said = [&] {
      const std::string out = train.out();
      return std::count(out.begin(), out.end(), '\n');
    };
    while (said() < lines && train.err().empty() &&
           train.out().find("\"event\":\"end\"") == std::string::npos) {
      std::this_thread::yield();
    }
  }

  static duet_testing::TempDir* data_;
  static duet_testing::TempDir* reference_;
  const duet_testing::TempDir folder_;
  const std::string out_ = folder_.path() + "/out";
};

duet_testing::TempDir* DuetTrainTest::data_ = nullptr;
duet_testing::TempDir* DuetTrainTest::reference_ = nullptr;

TEST_F(DuetTrainTest, WritesWhatPeopleAndProgramsRead) {
  const std::string& out = reference_->path();

  ASSERT_OK_AND_ASSIGN(const checkpoint::Checkpoint best,
                       checkpoint::ReadCheckpoint(out + "/best.pth"));
  EXPECT_EQ(best.meta.classes.size(), 10u);
  EXPECT_EQ(best.meta.config_text, ReadFile(out + "/config.py"));
  const std::map<std::string, int> steps = StepsIn(out);
  EXPECT_EQ(steps.size(), 24u) << "a line an epoch, and an evaluation";
  for (const auto& [name, count] : steps) EXPECT_EQ(count, 1) << name;
  const std::string report = ReadFile(out + "/report.md");
  EXPECT_THAT(report,
              AllOf(HasSubstr("(curves.svg)"), HasSubstr("(worst/01.jpg)"), HasSubstr("| star |")));
  EXPECT_TRUE(fs::exists(out + "/worst/01.jpg"));
  EXPECT_TRUE(fs::exists(out + "/curves.svg"));
  EXPECT_FALSE(fs::exists(out + "/state.pth"));

  Subprocess again(Command(out));
  EXPECT_EQ(again.Wait(), 0);
  ASSERT_EQ(Lines(again.out()).size(), 1u);
  EXPECT_THAT(again.out(), HasSubstr("finished already"));
}

// DUET_TRAIN_KILLS=20 is the long form.
TEST_F(DuetTrainTest, KilledAtAnyMomentItGoesOnToTheSameBits) {
  const char* const asked = std::getenv("DUET_TRAIN_KILLS");
  const int kills = asked == nullptr ? 3 : std::atoi(asked);
  std::mt19937 random(7);
  for (int i = 0; i < kills; ++i) {
    Subprocess train(Command(out_));
    // The first lines are told before anything is saved. A process that has nothing left to do ends
    // by itself.
    WaitForLines(train, std::uniform_int_distribution<int>(0, 12)(random));
    train.Signal(SIGKILL);
    const int code = train.Wait();
    ASSERT_TRUE(code == -SIGKILL || code == 0) << code << " " << train.err();
    for (const char* name : {"best.pth", "last.pth", "state.pth"}) {
      if (!fs::exists(out_ + "/" + name)) continue;
      EXPECT_THAT(checkpoint::ReadCheckpoint(out_ + "/" + name), IsOk());
    }
  }

  Subprocess train(Command(out_));
  ASSERT_EQ(train.Wait(), 0) << train.err();

  ExpectTheReference(out_);
  for (const auto& entry : fs::recursive_directory_iterator(out_)) {
    EXPECT_NE(entry.path().extension(), ".tmp") << entry.path();
  }
}

TEST_F(DuetTrainTest, StoppedItSavesTheStepAndSaysSo) {
  Subprocess train(Command(out_));
  WaitForLines(train, 5);
  train.Signal(SIGTERM);
  ASSERT_EQ(train.Wait(), 128 + SIGTERM) << train.err();
  EXPECT_THAT(train.err(), AllOf(HasSubstr("stopped after step "), HasSubstr("is saved")));

  Subprocess other(Command(out_, {"--lr=0.5", "--seed=9"}));
  EXPECT_EQ(other.Wait(), 1);
  EXPECT_THAT(other.err(), AllOf(HasSubstr("--lr=0.5"), HasSubstr("--seed=9 (it was 1)"),
                                 HasSubstr("--noresume")));

  Subprocess on(Command(out_));
  ASSERT_EQ(on.Wait(), 0) << on.err();
  EXPECT_THAT(on.out(), HasSubstr("\"event\":\"resumed\""));
  ExpectTheReference(out_);
}

// As a full disk: models fit into the limit, the state with its moments doesn't.
TEST_F(DuetTrainTest, WithoutRoomItSaysSoAndGoesOnWhenThereIsSome) {
  std::string limited = "ulimit -f 16000; exec";
  for (const std::string& word : Command(out_)) absl::StrAppend(&limited, " '", word, "'");
  Subprocess train({"/bin/bash", "-c", limited});
  EXPECT_EQ(train.Wait(), 75);
  EXPECT_THAT(train.err(), AllOf(HasSubstr("state.pth: cannot write"), HasSubstr("make room")));
  EXPECT_THAT(checkpoint::ReadCheckpoint(out_ + "/last.pth"), IsOk());

  Subprocess on(Command(out_));
  ASSERT_EQ(on.Wait(), 0) << on.err();
  ExpectTheReference(out_);
}

TEST_F(DuetTrainTest, LossesThatAreNotFiniteAreSkippedUntilThereAreTooMany) {
  Subprocess train(Command(out_, {"--lr=10", "--frozen_stages=-1"}));
  EXPECT_EQ(train.Wait(), 1);
  EXPECT_THAT(train.err(), AllOf(HasSubstr("duet-train: step "), HasSubstr("9 batches before"),
                                 HasSubstr("A lower --lr may help, in another --out")));
  EXPECT_THAT(ReadFile(out_ + "/log.jsonl"), HasSubstr("the batch is skipped"));
  EXPECT_THAT(checkpoint::ReadCheckpoint(out_ + "/last.pth"), IsOk());
}

// Frozen to the bit, no AP ever gets better than the first.
TEST_F(DuetTrainTest, AnEarlyEndWaitsForThePlainEpochs) {
  Subprocess train(Command(out_, {"--lr=1e-30", "--patience=2", "--plain_epochs=4"}));
  ASSERT_EQ(train.Wait(), 0) << train.err();
  EXPECT_THAT(ReadFile(out_ + "/report.md"), HasSubstr("Ended after step 20 of 24"));
}

TEST_F(DuetTrainTest, WithoutAnObjectToMeasureWithTheLastModelIsTheBest) {
  std::string blank = ReadFile(data_->path() + "/coco.json");
  boost::json::object coco = boost::json::parse(blank).as_object();
  const std::int64_t annotated = coco.at("images").as_array()[0].at("id").to_number<std::int64_t>();
  boost::json::array& all = coco.at("annotations").as_array();
  for (auto it = all.begin(); it != all.end();) {
    it = it->at("image_id").to_number<std::int64_t>() == annotated ? it + 1 : all.erase(it);
  }
  folder_.Write("blank.json", boost::json::serialize(coco));
  std::vector<std::string> command = Command(out_, {"--patience=1", "--epochs=3"});
  command[1] = "--data=" + folder_.path() + "/blank.json";

  Subprocess train(command);

  ASSERT_EQ(train.Wait(), 0) << train.err();
  EXPECT_THAT(train.out(), AllOf(HasSubstr("validation images without objects"),
                                 HasSubstr("Finished all 3 steps"), HasSubstr("\"best_ap\":null")));
  EXPECT_EQ(ReadFile(out_ + "/best.pth"), ReadFile(out_ + "/last.pth"));
  EXPECT_THAT(ReadFile(out_ + "/report.md"), HasSubstr("Nothing was measured"));
}

// As configs of other detectors have it; the pipeline that pads to multiples of 32 fits no square.
TEST_F(DuetTrainTest, AConfigsInputThatIsNoMultipleOf32IsRefusedBeforeTheTraining) {
  ASSERT_OK_AND_ASSIGN(checkpoint::Checkpoint demo,
                       checkpoint::ReadCheckpoint(DUET_SOURCE_DIR "/models/demo/rtmdet-demo.pth"));
  const auto with_scale = [&](const std::string& scale, const std::string& pad = "") {
    checkpoint::Meta meta = demo.meta;
    absl::StrAppend(&meta.config_text, "\ntest_pipeline = [dict(type='Resize', scale=", scale,
                    ", keep_ratio=True)", pad, "]\ntest_dataloader = dict(dataset=dict(",
                    "pipeline=test_pipeline))\n");
    const std::string path = folder_.path() + "/model.pth";
    EXPECT_THAT(checkpoint::WritePth(path, demo.state_dict, meta), IsOk());
    std::vector<std::string> command = Command(out_, {"--epochs=1"});
    command[3] = "--from=" + path;
    std::erase(command, "--input_size=64");
    return command;
  };

  Subprocess refused(with_scale("(1333, 800)"));
  EXPECT_EQ(refused.Wait(), 1);
  EXPECT_THAT(refused.err(), AllOf(HasSubstr("--from="), HasSubstr("1333x800"),
                                   HasSubstr("multiple of 32"), HasSubstr("--input_size")));
  EXPECT_FALSE(fs::exists(out_ + "/run.json"));

  Subprocess unpadded(with_scale("(96, 64)"));
  EXPECT_EQ(unpadded.Wait(), 1);
  EXPECT_THAT(unpadded.err(),
              AllOf(HasSubstr("96x64 without padding 'scene_"), HasSubstr("--input_size=96 ")));

  Subprocess longer(with_scale("(96, 64)", ", dict(type='Pad', size_divisor=32)"));
  ASSERT_EQ(longer.Wait(), 0) << longer.err();
  EXPECT_THAT(ReadFile(out_ + "/report.md"), AllOf(HasSubstr("the longer side"), HasSubstr("96x64"),
                                                   HasSubstr("| input size | 96 |")));
}

TEST_F(DuetTrainTest, WhatCannotBeDoneIsOneLine) {
  const auto error = [&](std::vector<std::string> more) {
    Subprocess train(Command(out_, std::move(more)));
    EXPECT_NE(train.Wait(), 0);
    const std::string text = train.err();
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
    return text;
  };
  EXPECT_THAT(error({"--device=cuda"}), HasSubstr("--device=cuda: cannot be used"));
  EXPECT_THAT(error({"--device=toaster"}), HasSubstr("--device=toaster: cannot be used"));
  EXPECT_THAT(error({"--from=" DUET_SOURCE_DIR "/models/demo/sam-demo.pth"}),
              AllOf(HasSubstr("--from="), HasSubstr("only RTMDet")));
  EXPECT_THAT(error({"--from=/nowhere.pth"}), HasSubstr("/nowhere.pth"));
  EXPECT_THAT(error({"--classes=star,moon"}), HasSubstr("moon"));
  EXPECT_THAT(error({"--input_size=100"}), HasSubstr("multiple of 32"));
}

// The demo's scenes without their masks.
TEST_F(DuetTrainTest, AModelOfMasksDoesNotLearnFromBoxesAlone) {
  boost::json::object coco = boost::json::parse(ReadFile(data_->path() + "/coco.json")).as_object();
  for (boost::json::value& annotation : coco["annotations"].as_array()) {
    annotation.as_object().erase("segmentation");
  }
  const std::string boxes = folder_.Write("boxes.json", boost::json::serialize(coco));
  const std::string model = "--from=" DUET_SOURCE_DIR "/tests/data/detector/ins.pth";

  Subprocess refused(Command(out_, {model, "--data=" + boxes}));
  EXPECT_EQ(refused.Wait(), 1);
  EXPECT_THAT(refused.err(), AllOf(HasSubstr("RTMDet-Ins"), HasSubstr("boxes alone")));

  Subprocess learned(Command(out_, {model, "--epochs=1"}));
  ASSERT_EQ(learned.Wait(), 0) << learned.err();
  EXPECT_THAT(ReadFile(out_ + "/report.md"), AllOf(HasSubstr("Boxes of"), HasSubstr("Masks of")));
  EXPECT_THAT(ReadFile(out_ + "/log.jsonl"), HasSubstr("\"masks\":{\"ap\""));
}

}  // namespace
}  // namespace trainer
