// duet-trainer as a process, with a Label Studio and a duet-train that do what each test wants.
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>
#include <absl/time/clock.h>
#include <gmock/gmock.h>
#include <grpcpp/client_context.h>
#include <signal.h>

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "model_store/model_store.h"
#include "tests/integration/trainer_service/fake_project.h"
#include "tests/integration/trainer_service/trainer_process.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace trainer_service::testing {
namespace {

using duet_testing::IsOk;
using duet_testing::ReadFile;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

namespace fs = std::filesystem;

constexpr int kSide = 64;

// Each another one.
std::string Image(int number) {
  cv::Mat image(kSide, kSide, CV_8UC3, cv::Scalar(number * 7 % 256, 90, 200));
  cv::rectangle(image, {8 + number % 8, 8}, {40, 40}, cv::Scalar(0, number % 256, 0), -1);
  std::vector<unsigned char> bytes;
  cv::imencode(".png", image, bytes);
  return {bytes.begin(), bytes.end()};
}

FakeProject::Annotation Box(const std::string& label, const std::string& created_at = "") {
  FakeProject::Annotation annotation{
      .result = {Rectangle(label, 12.5, 12.5, 50, 50, kSide, kSide)}};
  if (!created_at.empty()) annotation.created_at = created_at;
  return annotation;
}

// A duet-train that writes down how it was called and then does what $HERE/behaviour says; compared
// is as $HERE/verdict says.
constexpr char kFakeTrain[] = R"(#!/bin/sh
here=$(dirname "$0")
echo "$@" >>"$here/calls"
if [ "$1" = compare ]; then . "$here/compare"; cat "$here/verdict"; exit; fi
for argument; do case $argument in --out=*) out=${argument#--out=};; esac; done
mkdir -p "$out"
echo '{"event":"start","message":"tiny: 8 images to learn from"}'
. "$here/behaviour"
echo '{"event":"step","step":5,"steps":10,"losses":{"classes":0.5,"boxes":0.25},"seconds_left":9}'
echo '{"event":"evaluation","step":10,"ap":0.75}'
echo weights >"$out/last.pth"
echo config >"$out/config.py"
echo report >"$out/report.md"
)";
constexpr char kBetter[] =
    R"({"outcome":"better","reason":"AP50 0.90, was 0.50","old_score":0.5,"new_score":0.9,)"
    R"("images_needed":0})";

class JobsTest : public ::testing::Test {
 protected:
  JobsTest() {
    Write("duet-train", kFakeTrain);
    fs::permissions(program_.path() + "/duet-train", fs::perms::owner_all);
    Write("behaviour", "");
    Write("compare", "");
    Write("verdict", kBetter);
    for (int i = 1; i <= 10; ++i) studio_.AddTask(i, Image(i), {Box("bolt")});
  }

  void Write(const std::string& name, const std::string& text) { program_.Write(name, text); }
  std::string Calls() const { return ReadFile(program_.path() + "/calls"); }
  // How often duet-train was started to train, and to compare.
  int Trainings() const { return Starts(/*comparing=*/false); }
  int Comparisons() const { return Starts(/*comparing=*/true); }
  int Starts(bool comparing) const {
    if (!fs::exists(program_.path() + "/calls")) return 0;
    int starts = 0;
    for (const auto line : absl::StrSplit(Calls(), '\n', absl::SkipEmpty()))
      starts += absl::StartsWith(line, "compare") == comparing ? 1 : 0;
    return starts;
  }
  // What a fake duet-train waits for.
  std::string Gate() const { return program_.path() + "/gate"; }
  void HoldTraining() {
    Write("behaviour", absl::StrCat("while [ ! -e ", Gate(), " ]; do sleep 0.02; done\n"));
  }
  void OpenGate() { Write("gate", ""); }
  model_store::ModelStore Store() const { return model_store::ModelStore(trainer_.model_root()); }
  // As the gateway does once the gate has found it better.
  void ServeVersionOne(model_store::Kind kind = model_store::Kind::kDetector) const {
    ASSERT_THAT(Store().UpdateServing(kind, "project-7",
                                      [](const model_store::Serving&) {
                                        return model_store::Serving{.version = 1, .decided = 1};
                                      }),
                IsOk());
  }

  static pb::TrainRequest SegmenterRequest() {
    pb::TrainRequest request;
    request.set_project_id(7);
    request.set_kind(pb::MODEL_KIND_SEGMENTER);
    return request;
  }

  // Waits until the newest job is in that state.
  void Await(pb::Job::State state) {
    while (trainer_.Newest().state() < state) std::this_thread::yield();
  }
  grpc::Status Cancel(const std::string& id, pb::Job* job) {
    grpc::ClientContext call;
    pb::CancelRequest request;
    request.set_job_id(id);
    return trainer_.stub().Cancel(&call, request, job);
  }
  grpc::Status Forget(std::uint64_t project, pb::ForgetResponse* response) {
    grpc::ClientContext call;
    pb::ForgetRequest request;
    request.set_project_id(project);
    return trainer_.stub().Forget(&call, request, response);
  }
  void ExpectFailure(const pb::Job& job, const ::testing::Matcher<std::string>& sentence) {
    EXPECT_EQ(job.state(), pb::Job::STATE_FAILED) << job.DebugString();
    EXPECT_THAT(job.message(), sentence);
    EXPECT_THAT(job.message(), Not(HasSubstr("\n")));
    EXPECT_THAT(trainer_.Leftovers(), IsEmpty());
  }

  duet_testing::TempDir program_;
  FakeProject studio_{{"bolt", "nut"}};
  TrainerProcess trainer_{studio_.url(), program_.path() + "/duet-train"};
};

TEST_F(JobsTest, AnAnnotatedProjectBecomesAVersion) {
  trainer_.Start();
  std::vector<pb::Job::State> states;
  double loss = 0;

  const pb::Job job = trainer_.Train(7, [&](const pb::Job& now) {
    if (states.empty() || states.back() != now.state()) states.push_back(now.state());
    if (now.progress().has_loss()) loss = now.progress().loss();
  });

  EXPECT_EQ(job.state(), pb::Job::STATE_DONE) << job.DebugString();
  EXPECT_EQ(states.back(), pb::Job::STATE_DONE);
  EXPECT_EQ(job.message(), "AP50 0.90, was 0.50");
  EXPECT_EQ(job.requested_by(), "test");
  EXPECT_EQ(job.images(), 10u);
  EXPECT_EQ(job.annotations(), 10u);
  EXPECT_EQ(job.verdict().outcome(), pb::Verdict::OUTCOME_BETTER);
  EXPECT_EQ(job.verdict().model_name(), "project-7");
  EXPECT_EQ(job.verdict().version(), 1u);
  EXPECT_EQ(job.verdict().parent(), 0u);
  EXPECT_EQ(job.verdict().new_score(), 0.9);
  EXPECT_THAT(Calls(), HasSubstr("--report_of=last")) << "which is what is published";
  ASSERT_OK_AND_ASSIGN(const model_store::Manifest manifest,
                       Store().VerifyVersion(model_store::Kind::kDetector, "project-7", 1));
  EXPECT_THAT(manifest.classes, ElementsAre("bolt", "nut"));
  EXPECT_EQ(manifest.label_studio_url, studio_.url());
  EXPECT_EQ(manifest.project_id, 7u);
  EXPECT_EQ(manifest.images, 10u);
  EXPECT_EQ(manifest.seed, 1u);
  EXPECT_EQ(job.verdict().model_sha256(), manifest.weights().sha256);
  EXPECT_EQ(manifest.verdict->reason, "AP50 0.90, was 0.50");
  EXPECT_EQ(ReadFile(Store().PathOf(model_store::Kind::kDetector, "project-7", 1) + "/model.pth"),
            "weights\n");
  EXPECT_THAT(Calls(), AllOf(HasSubstr("default.pth"), HasSubstr("validation.json"),
                             HasSubstr("--json"), HasSubstr("--resume")));
  EXPECT_THAT(trainer_.Leftovers(), IsEmpty());
  EXPECT_EQ(trainer_.Stop(SIGTERM), 0);
  EXPECT_THAT(trainer_.process().err(), Not(HasSubstr(FakeProject::kToken)));
}

TEST_F(JobsTest, TheNewestAnnotationOfATaskCountsAndNoCancelledOne) {
  trainer_.Start();
  studio_.AddTask(20, Image(20), {Box("nut", "2026-11-30T10:00:00Z"), Box("bolt")});
  FakeProject::Annotation skipped = Box("bolt");
  skipped.cancelled = true;
  studio_.AddTask(21, Image(21), {skipped});
  studio_.AddTask(22, Image(22), {});

  const pb::Job job = trainer_.Train();

  ASSERT_EQ(job.state(), pb::Job::STATE_DONE) << job.DebugString();
  EXPECT_EQ(job.images(), 11u);
  std::string frozen;
  for (const auto& file : fs::recursive_directory_iterator(trainer_.work_dir() + "/projects/7")) {
    const std::string name = file.path().filename();
    if (name == "train.json" || name == "validation.json") frozen += ReadFile(file.path());
  }
  EXPECT_THAT(frozen, HasSubstr("\"category_id\":2")) << "the nut of task 20";
}

TEST_F(JobsTest, WhoeverAsksAgainMeanwhileJoins) {
  HoldTraining();
  trainer_.Start();
  pb::Job first;
  std::thread asked([&] { first = trainer_.Train(); });
  Await(pb::Job::STATE_TRAINING);

  const pb::Job running = trainer_.Newest();
  const pb::Job second = trainer_.Train(7, [&](const pb::Job&) { OpenGate(); });
  asked.join();

  EXPECT_EQ(second.id(), running.id());
  EXPECT_EQ(first.id(), running.id());
  EXPECT_EQ(second.state(), pb::Job::STATE_DONE);
}

TEST_F(JobsTest, TheNextTrainingBeginsFromTheVersionThatServes) {
  trainer_.Start();
  ASSERT_EQ(trainer_.Train().verdict().version(), 1u);
  ServeVersionOne();
  studio_.SetLabels({"screw", "nut"});
  studio_.AddTask(30, Image(30), {Box("screw")});
  Write("behaviour", "echo more >\"$out/more\"\n");

  const pb::Job job = trainer_.Train();

  EXPECT_EQ(job.verdict().parent(), 1u) << job.DebugString();
  EXPECT_EQ(job.verdict().version(), 2u);
  EXPECT_THAT(Calls(),
              HasSubstr("--from=" + Store().PathOf(model_store::Kind::kDetector, "project-7", 1) +
                        "/model.pth"));
}

TEST_F(JobsTest, ALabelThatWasRenamedIsSaid) {
  trainer_.Start();
  ASSERT_EQ(trainer_.Train().verdict().version(), 1u);
  ServeVersionOne();
  studio_.SetLabels({"screw", "nut"});
  for (int i = 1; i <= 10; ++i) studio_.AddTask(i, Image(i), {Box("screw")});

  const pb::Job job = trainer_.Train();

  EXPECT_EQ(job.state(), pb::Job::STATE_DONE);
  EXPECT_THAT(job.message(),
              HasSubstr("version 1 knows labels that the project no longer has: 'bolt'"));
}

// By their names alone a model that serves "baseball_bat" would know nothing of "Baseball Bat".
TEST_F(JobsTest, TrainingAndComparisonKnowTheLabelConfig) {
  const std::string keep = R"(for word; do case $word in --label_config=*)
    cp "${word#--label_config=}" "$here/$1.xml";; esac; done
)";
  Write("behaviour", "set -- train \"$@\"\n" + keep);
  Write("compare", keep);
  trainer_.Start();

  EXPECT_EQ(trainer_.Train().state(), pb::Job::STATE_DONE);

  for (const char* program : {"/train.xml", "/compare.xml"}) {
    EXPECT_THAT(ReadFile(program_.path() + program), HasSubstr("<Label value=\"bolt\"")) << program;
  }
  EXPECT_THAT(trainer_.Leftovers(), IsEmpty());
}

TEST_F(JobsTest, ImagesThatAreMissingAreLeftOutAndSaid) {
  trainer_.Start();
  studio_.RemoveImage(3);

  const pb::Job job = trainer_.Train();

  EXPECT_EQ(job.state(), pb::Job::STATE_DONE) << job.DebugString();
  EXPECT_EQ(job.images(), 9u);
  EXPECT_THAT(job.message(),
              AllOf(HasSubstr("1 images that can't be found, left out"), HasSubstr("task 3")));
}

TEST_F(JobsTest, AnImageKeepsItsSideFromTrainingToTraining) {
  trainer_.Start();
  ASSERT_EQ(trainer_.Train().state(), pb::Job::STATE_DONE);
  const std::string sides = trainer_.work_dir() + "/projects/7/sides.json";
  const boost::json::object before = boost::json::parse(ReadFile(sides)).as_object();
  for (int i = 40; i < 60; ++i) studio_.AddTask(i, Image(i), {Box(i % 2 == 0 ? "nut" : "bolt")});
  pb::ForgetResponse forgotten;
  ASSERT_TRUE(Forget(7, &forgotten).ok());
  EXPECT_EQ(forgotten.jobs(), 1u);
  EXPECT_GT(forgotten.bytes(), 0u);
  EXPECT_FALSE(fs::exists(trainer_.work_dir() + "/projects/7/images"));
  EXPECT_EQ(trainer_.Newest().id(), "");

  ASSERT_EQ(trainer_.Train().state(), pb::Job::STATE_DONE);

  const boost::json::object after = boost::json::parse(ReadFile(sides)).as_object();
  EXPECT_EQ(after.size(), 30u);
  for (const auto& [image, side] : before) EXPECT_EQ(after.at(image), side) << image;
}

TEST_F(JobsTest, WithoutAnythingToMeasureWithItIsUndecided) {
  FakeProject lone{{"bolt"}};
  lone.AddTask(1, Image(1), {Box("bolt")});
  TrainerProcess trainer(lone.url(), program_.path() + "/duet-train");
  trainer.Start();

  const pb::Job job = trainer.Train();

  EXPECT_EQ(job.state(), pb::Job::STATE_DONE) << job.DebugString();
  EXPECT_EQ(job.verdict().outcome(), pb::Verdict::OUTCOME_UNDECIDED);
  EXPECT_GT(job.verdict().images_needed(), 0u);
  EXPECT_THAT(Calls(), AllOf(HasSubstr("--val_share=0"), Not(HasSubstr("compare"))));
}

TEST_F(JobsTest, HowManyImagesAreNeededIsWhatTheComparisonSays) {
  Write("verdict", R"({"outcome":"undecided","reason":"too few images","images_needed":7})");
  trainer_.Start();

  const pb::Job job = trainer_.Train();

  EXPECT_EQ(job.verdict().outcome(), pb::Verdict::OUTCOME_UNDECIDED) << job.DebugString();
  EXPECT_EQ(job.verdict().images_needed(), 7u) << "as the comparison's sentence says";
  EXPECT_THAT(Calls(), HasSubstr("--annotated=10 ")) << "which knows that it sees a part";
}

TEST_F(JobsTest, TheSameImagesDecideWithMoreCertaintyEachTime) {
  trainer_.Start();
  ASSERT_EQ(trainer_.Train().state(), pb::Job::STATE_DONE);
  EXPECT_THAT(Calls(), HasSubstr("--looks=1.0"));
  ASSERT_EQ(trainer_.Train().state(), pb::Job::STATE_DONE);
  EXPECT_THAT(Calls(), HasSubstr("--looks=2.0"));
}

TEST_F(JobsTest, AComparisonTellsHowFarItIsAndKeepsToItsThreads) {
  TrainerProcess trainer(studio_.url(), program_.path() + "/duet-train", {"--threads=1"});
  Write("compare", absl::StrCat(R"(echo '{"event":"compared","images":3,"of":4}'
while [ ! -e )",
                                Gate(), " ]; do sleep 0.02; done\n"));
  trainer.Start();
  std::string message;

  const pb::Job job = trainer.Train(7, [&](const pb::Job& now) {
    if (now.message().find("3 of 4 images") == std::string::npos) return;
    message = now.message();
    OpenGate();
  });

  EXPECT_EQ(job.state(), pb::Job::STATE_DONE) << job.DebugString();
  EXPECT_THAT(message, HasSubstr("compares the new model"));
  const std::string calls = Calls();
  EXPECT_THAT(calls.substr(calls.find("compare")), HasSubstr("--threads=1 --progress"));
}

TEST_F(JobsTest, WhatGoesWrongIsOneSentence) {
  trainer_.Start();
  ExpectFailure(trainer_.Train(8), AllOf(HasSubstr("has no project 8"), HasSubstr(studio_.url())));

  studio_.failures = 1;
  ExpectFailure(trainer_.Train(), HasSubstr("Label Studio answered 503"));
  studio_.failures = 1;
  studio_.failure_status = 401;
  ExpectFailure(trainer_.Train(), AllOf(HasSubstr("401"), HasSubstr("--label_studio_api_key")));

  Write("behaviour", "echo 'duet-train: disk full: No space left on device' >&2; exit 1\n");
  ExpectFailure(trainer_.Train(), HasSubstr("exit code 1: disk full: No space left on device"));
  Write("behaviour", "");
  Write("compare", "echo 'duet-train: cannot compare' >&2; exit 1\n");
  ExpectFailure(trainer_.Train(),
                HasSubstr("the comparison ended with exit code 1: cannot compare"));
  Write("compare", "");
  Write("verdict", "{}");
  ExpectFailure(trainer_.Train(), HasSubstr("'outcome' is missing"));
  Write("verdict", kBetter);

  studio_.deleted = true;
  ExpectFailure(trainer_.Train(), HasSubstr("has no project 7"));
  EXPECT_THAT(Store().ListNames(model_store::Kind::kDetector), IsOk());
}

TEST_F(JobsTest, AProjectWithoutAnnotationsFails) {
  FakeProject empty{{"bolt"}};
  empty.AddTask(1, Image(1), {});
  TrainerProcess trainer(empty.url(), program_.path() + "/duet-train");
  trainer.Start();

  const pb::Job job = trainer.Train();

  EXPECT_EQ(job.state(), pb::Job::STATE_FAILED);
  EXPECT_THAT(job.message(), HasSubstr("nobody has annotated anything in project 7"));
  EXPECT_THAT(trainer.Leftovers(), IsEmpty());
}

TEST_F(JobsTest, ATrainingThatIsKilledGoesOnButNotForEver) {
  // The first time it leaves what a later one finds.
  Write("behaviour", "[ -e \"$out/saved\" ] || { touch \"$out/saved\"; kill -9 $$; }\n");
  trainer_.Start();
  EXPECT_EQ(trainer_.Train().state(), pb::Job::STATE_DONE);
  EXPECT_EQ(Trainings(), 2);

  Write("behaviour", "kill -9 $$\n");
  ExpectFailure(trainer_.Train(), HasSubstr("was killed by signal 9: by somebody, or"));
  EXPECT_THAT(trainer_.process().err(), HasSubstr("job.child_died"));
  EXPECT_EQ(Trainings(), 2 + 3);
}

TEST_F(JobsTest, AComparisonThatIsKilledBeginsAnewButNotForEver) {
  // The training is killed once, too, which counts for itself.
  Write("behaviour", "[ -e \"$out/saved\" ] || { touch \"$out/saved\"; kill -9 $$; }\n");
  Write("compare", absl::StrCat("[ -e ", Gate(), " ] || { touch ", Gate(), "; kill -9 $$; }\n"));
  trainer_.Start();
  const pb::Job job = trainer_.Train();
  EXPECT_EQ(job.state(), pb::Job::STATE_DONE) << job.message();
  EXPECT_EQ(Comparisons(), 2);

  Write("compare", "kill -9 $$\n");
  ExpectFailure(trainer_.Train(), HasSubstr("the comparison was killed by signal 9: by somebody"));
  EXPECT_EQ(Comparisons(), 2 + 3);
}

// What gets on ends by itself some time.
TEST_F(JobsTest, ATrainingThatIsKilledButSavesSomethingNewGoesOn) {
  Write("behaviour", R"(echo x >>"$out/lives"
echo '{"event":"saved","step":5}'
lives=$(grep -c x "$out/lives")
[ $lives -gt 5 ] || kill -9 $$
)");
  trainer_.Start();
  EXPECT_EQ(trainer_.Train().state(), pb::Job::STATE_DONE);
  EXPECT_EQ(Trainings(), 6);
}

// As where the kernel kills all of a container that runs out of memory: the queue would stand still
// for ever.
TEST_F(JobsTest, ATrainingThatTakesItsTrainerAlongEachTimeEnds) {
  Write("behaviour",
        absl::StrCat("while [ ! -e ", Gate(), " ]; do sleep 0.02; done\nkill -9 $PPID\n"));
  std::thread asked;
  for (int life = 1; life <= 10; ++life) {
    trainer_.Start();
    if (life == 1) asked = std::thread([&] { (void)trainer_.Train(); });
    while (Trainings() < life) std::this_thread::yield();
    OpenGate();
    EXPECT_EQ(trainer_.process().Wait(), -SIGKILL);
    fs::remove(Gate());
    if (asked.joinable()) asked.join();
  }
  trainer_.Start();

  ExpectFailure(trainer_.Follow(),
                AllOf(HasSubstr("was started 10 times"), HasSubstr("--max_memory_mb")));
  EXPECT_EQ(Trainings(), 10);
  Write("behaviour", "");
  EXPECT_EQ(trainer_.Train().state(), pb::Job::STATE_DONE) << "others have their turn";
}

TEST_F(JobsTest, ADiskThatIsFullDuringTheTrainingIsWaitedFor) {
  TrainerProcess trainer(studio_.url(), program_.path() + "/duet-train", {"--retry_s=600"});
  const std::string full = R"(echo 'duet-train: state.pth: No space left on device' >&2; exit 75
)";
  Write("behaviour", "[ -e \"$out/full\" ] || { touch \"$out/full\"; " + full + "}\n");
  trainer.Start();
  std::string message;

  const pb::Job job = trainer.Train(7, [&](const pb::Job& now) {
    if (now.message().find("tried again") != std::string::npos) message = now.message();
  });

  EXPECT_EQ(job.state(), pb::Job::STATE_DONE) << job.DebugString();
  EXPECT_THAT(message, HasSubstr("No space left on device"));
  Write("behaviour", full);
  trainer_.Start();  // which waits for nothing
  ExpectFailure(trainer_.Train(), HasSubstr("No space left on device"));
}

// Whoever knows what a model has learned from can't measure it with that.
TEST_F(JobsTest, WhatAModelHasLearnedFromIsKnownWithoutTheWorkFolder) {
  trainer_.Start();
  ASSERT_EQ(trainer_.Train().verdict().version(), 1u);
  ServeVersionOne();
  const std::string folder = Store().PathOf(model_store::Kind::kDetector, "project-7", 1);
  const boost::json::object before =
      boost::json::parse(ReadFile(folder + "/sides.json")).as_object();
  EXPECT_EQ(before.size(), 10u);
  for (int i = 40; i < 60; ++i) studio_.AddTask(i, Image(i), {Box("bolt")});
  TrainerProcess other(studio_.url(), program_.path() + "/duet-train",
                       {"--model_root=" + trainer_.model_root()});
  other.Start();

  ASSERT_EQ(other.Train().verdict().parent(), 1u);

  const boost::json::object after =
      boost::json::parse(ReadFile(other.work_dir() + "/projects/7/sides.json")).as_object();
  EXPECT_EQ(after.size(), 30u);
  for (const auto& [image, side] : before) EXPECT_EQ(after.at(image), side) << image;
}

TEST_F(JobsTest, AModelOfWhichNobodyKnowsWhatItLearnedFromIsNotBegunFrom) {
  trainer_.Start();
  ASSERT_EQ(trainer_.Train().verdict().version(), 1u);
  ASSERT_OK_AND_ASSIGN(model_store::Manifest manifest,
                       Store().ReadManifest(model_store::Kind::kDetector, "project-7", 1));
  // As an earlier release has left it.
  ASSERT_OK_AND_ASSIGN(auto staging, Store().Stage(model_store::Kind::kDetector, "project-7"));
  std::ofstream(staging.folder() + "/model.pth") << "weights";
  ASSERT_THAT(staging.Publish(manifest), IsOk());
  ASSERT_THAT(Store().UpdateServing(model_store::Kind::kDetector, "project-7",
                                    [](const model_store::Serving&) {
                                      return model_store::Serving{.version = 2, .decided = 2};
                                    }),
              IsOk());
  EXPECT_EQ(trainer_.Train().verdict().parent(), 2u) << "this work folder knows";
  TrainerProcess other(studio_.url(), program_.path() + "/duet-train",
                       {"--model_root=" + trainer_.model_root()});
  other.Start();

  const pb::Job job = other.Train();

  EXPECT_EQ(job.state(), pb::Job::STATE_FAILED) << job.DebugString();
  EXPECT_THAT(job.message(),
              AllOf(HasSubstr("version 2 of project-7, which serves, has learned from"),
                    HasSubstr("duet models rollback project-7 0")));
}

// Label Studio was installed anew, or restored, and has another project 7.
TEST_F(JobsTest, ModelsOfAnotherProjectOfThatNumberAreLeftAlone) {
  trainer_.Start();
  ASSERT_EQ(trainer_.Train().verdict().version(), 1u);
  ASSERT_OK_AND_ASSIGN(const model_store::Manifest manifest,
                       Store().ReadManifest(model_store::Kind::kDetector, "project-7", 1));
  EXPECT_EQ(manifest.project_created, "2026-11-01T08:00:00Z");
  studio_.SetCreated("2026-11-20T08:00:00Z");

  ExpectFailure(trainer_.Train(), AllOf(HasSubstr("created at 2026-11-01T08:00:00Z"),
                                        HasSubstr("created at 2026-11-20T08:00:00Z"),
                                        HasSubstr("duet models delete project-7")));
  studio_.SetCreated("2026-11-01T08:00:00.9Z");
  EXPECT_EQ(trainer_.Train().state(), pb::Job::STATE_DONE);
}

TEST_F(JobsTest, PagesGrowAgainBehindATaskThatWasTooLarge) {
  for (int i = 100; i < 210; ++i) studio_.AddTask(i, Image(i), {Box("bolt")});
  studio_.giant = 1;
  trainer_.Start();

  const pb::Job job = trainer_.Train();

  EXPECT_EQ(job.images(), 120u) << job.DebugString();
  const std::vector<std::size_t> pages = studio_.pages();
  ASSERT_GT(pages.size(), 2u);
  EXPECT_EQ(pages[0], 100u);
  EXPECT_EQ(pages[1], 10u);
  EXPECT_EQ(pages.back(), 20u);
}

TEST_F(JobsTest, LabelStudioThatIsAwayIsWaitedFor) {
  TrainerProcess trainer(studio_.url(), program_.path() + "/duet-train", {"--retry_s=600"});
  trainer.Start();
  studio_.failures = 2;
  std::string message;

  const pb::Job job = trainer.Train(7, [&](const pb::Job& now) {
    if (now.message().find("tried again") != std::string::npos) message = now.message();
  });

  EXPECT_EQ(job.state(), pb::Job::STATE_DONE) << job.DebugString();
  EXPECT_THAT(message, HasSubstr("Label Studio answered 503"));
}

TEST_F(JobsTest, AJobIsCancelledWhereverItIs) {
  HoldTraining();
  trainer_.Start();
  pb::Job streamed;
  std::thread asked([&] { streamed = trainer_.Train(); });
  Await(pb::Job::STATE_TRAINING);
  std::thread waits([&] { (void)trainer_.Train(8); });
  while (trainer_.Newest().project_id() != 8) std::this_thread::yield();
  pb::Job waiting;
  ASSERT_TRUE(Cancel(trainer_.Newest().id(), &waiting).ok());
  EXPECT_EQ(waiting.state(), pb::Job::STATE_CANCELLED);
  pb::Job running;
  pb::ListJobsRequest request;
  request.set_project_id(7);
  pb::ListJobsResponse jobs;
  grpc::ClientContext call;
  ASSERT_TRUE(trainer_.stub().ListJobs(&call, request, &jobs).ok());
  pb::ForgetResponse refused;
  EXPECT_EQ(Forget(7, &refused).error_code(), grpc::StatusCode::FAILED_PRECONDITION);

  ASSERT_TRUE(Cancel(jobs.jobs(0).id(), &running).ok());
  asked.join();
  waits.join();

  EXPECT_EQ(streamed.state(), pb::Job::STATE_CANCELLED) << streamed.DebugString();
  EXPECT_THAT(trainer_.Leftovers(), IsEmpty());
  EXPECT_EQ(Cancel("no-job", &running).error_code(), grpc::StatusCode::NOT_FOUND);
  ASSERT_TRUE(Cancel(streamed.id(), &running).ok()) << "one that has ended stays as it is";
  EXPECT_EQ(running.state(), pb::Job::STATE_CANCELLED);
}

TEST_F(JobsTest, ARestartGoesOnWithWhatRan) {
  HoldTraining();
  trainer_.Start();
  std::thread asked([&] { (void)trainer_.Train(); });
  Await(pb::Job::STATE_TRAINING);
  const std::string id = trainer_.Newest().id();

  EXPECT_EQ(trainer_.Stop(SIGTERM), 0);  // its child gets SIGTERM, too
  asked.join();
  EXPECT_THAT(trainer_.process().err(), HasSubstr("\"event\":\"job.paused\""));
  OpenGate();
  trainer_.Start();
  const pb::Job job = trainer_.Follow();

  EXPECT_EQ(job.id(), id);
  EXPECT_EQ(job.state(), pb::Job::STATE_DONE) << job.DebugString();
  EXPECT_THAT(trainer_.Leftovers(), IsEmpty());
}

// The children of a process that is killed don't go on without it.
TEST_F(JobsTest, KilledItLeavesNoChildAndGoesOnAfterwards) {
  HoldTraining();
  Write("behaviour", absl::StrCat("echo $$ >", program_.path(), "/child\n", "while [ ! -e ", Gate(),
                                  " ]; do sleep 0.02; done\n"));
  trainer_.Start();
  std::thread asked([&] { (void)trainer_.Train(); });
  while (!fs::exists(program_.path() + "/child") || ReadFile(program_.path() + "/child").empty()) {
    std::this_thread::yield();
  }
  const pid_t child = std::stoi(ReadFile(program_.path() + "/child"));

  EXPECT_EQ(trainer_.Stop(SIGKILL), -SIGKILL);
  asked.join();
  const absl::Time deadline = absl::Now() + absl::Seconds(60);
  while (kill(child, 0) == 0 && absl::Now() < deadline) std::this_thread::yield();
  EXPECT_NE(kill(child, 0), 0);
  OpenGate();
  trainer_.Start();

  EXPECT_EQ(trainer_.Follow().state(), pb::Job::STATE_DONE);
  EXPECT_THAT(trainer_.Leftovers(), IsEmpty());
}

TEST_F(JobsTest, AVersionThatWasDamagedByHandIsNotBegunFrom) {
  trainer_.Start();
  ASSERT_EQ(trainer_.Train().verdict().version(), 1u);
  ServeVersionOne();
  std::ofstream(Store().PathOf(model_store::Kind::kDetector, "project-7", 1) + "/model.pth")
      << "other";

  ExpectFailure(trainer_.Train(), AllOf(HasSubstr("version 1 of project-7, which serves"),
                                        HasSubstr("model.pth"), HasSubstr("rollback")));
}

TEST_F(JobsTest, ANameOfAnotherLabelStudioIsLeftAlone) {
  trainer_.Start();
  ASSERT_EQ(trainer_.Train().verdict().version(), 1u);
  EXPECT_EQ(trainer_.Stop(SIGTERM), 0);
  FakeProject other{{"bolt"}};
  for (int i = 1; i <= 10; ++i) other.AddTask(i, Image(i), {Box("bolt")});
  TrainerProcess trainer(other.url(), program_.path() + "/duet-train",
                         {"--model_root=" + trainer_.model_root()});
  trainer.Start();

  const pb::Job job = trainer.Train();

  EXPECT_EQ(job.state(), pb::Job::STATE_FAILED);
  EXPECT_THAT(job.message(), AllOf(HasSubstr("is of project 7 of " + studio_.url()),
                                   HasSubstr("--label_studio_alias")));
}

TEST_F(JobsTest, OldVersionsGo) {
  TrainerProcess trainer(studio_.url(), program_.path() + "/duet-train",
                         {"--keep_versions=2", "--train_flags=--epochs=3,--seed=5"});
  trainer.Start();
  for (int i = 0; i < 4; ++i) {
    Write("behaviour", "");
    studio_.AddTask(100 + i, Image(100 + i), {Box("nut")});
    ASSERT_EQ(trainer.Train().state(), pb::Job::STATE_DONE);
  }
  const auto versions = model_store::ModelStore(trainer.model_root())
                            .ListVersions(model_store::Kind::kDetector, "project-7");
  ASSERT_THAT(versions, IsOk());
  EXPECT_THAT(*versions, ElementsAre(3u, 4u));
  const auto newest = model_store::ModelStore(trainer.model_root())
                          .ReadManifest(model_store::Kind::kDetector, "project-7", 4);
  ASSERT_THAT(newest, IsOk());
  EXPECT_EQ(newest->seed, 5u);
  EXPECT_EQ(trainer.Stop(SIGTERM), 0);
  EXPECT_THAT(trainer.process().err(), HasSubstr("\"deleted\":\"2\"")) << "who deleted what";
}

TEST_F(JobsTest, RequestsThatCantBeAreRefused) {
  TrainerProcess trainer(studio_.url(), program_.path() + "/duet-train", {"--min_interval_s=3600"});
  trainer.Start();
  EXPECT_THAT(trainer.Train(0).message(), AllOf(HasSubstr("3: "), HasSubstr("project_id is 0")));
  EXPECT_EQ(trainer.Train().state(), pb::Job::STATE_DONE);
  EXPECT_THAT(trainer.Train().message(),
              AllOf(HasSubstr("8: "), HasSubstr("--min_interval_s is 3600")));

  EXPECT_THAT(trainer.Train(SegmenterRequest()).message(),
              AllOf(HasSubstr("9: "), HasSubstr("--segmenter_checkpoint")));
}

TEST_F(JobsTest, WhatItCannotWorkWithEndsTheStart) {
  struct Refusal {
    std::string flag;
    std::string message;
  };
  for (const Refusal& refusal :
       {Refusal{"--model_root=/nowhere", "--model_root=/nowhere: there is no such folder"},
        {"--checkpoint=/nowhere.pth", "--checkpoint=/nowhere.pth"},
        {"--segmenter_checkpoint=/nowhere.pth", "--segmenter_checkpoint=/nowhere.pth"},
        {"--duet_train=/nowhere", "--duet_train"},
        {"--label_studio_url=nonsense", "--label_studio_url"}}) {
    std::vector<std::string> command = trainer_.command();
    command.push_back(refusal.flag);
    duet_testing::Subprocess trainer(command);
    EXPECT_EQ(trainer.Wait(), 1) << refusal.flag;
    EXPECT_THAT(trainer.err(), HasSubstr(refusal.message));
  }
  for (const char* flag :
       {"--train_flags=epochs=2", "--train_flags=--epochs=2,--noresume", "--train_flags=--data=x",
        "--segmenter_train_flags=--out=x", "--max_memory_mb=100"}) {
    std::vector<std::string> command = trainer_.command();
    command.push_back(flag);
    duet_testing::Subprocess trainer(command);
    EXPECT_EQ(trainer.Wait(), 2) << flag;
    EXPECT_THAT(trainer.err(), HasSubstr("must")) << flag;
  }
  trainer_.Start();
  duet_testing::Subprocess second(trainer_.command());
  EXPECT_EQ(second.Wait(), 1);
  EXPECT_THAT(second.err(), HasSubstr("another trainer works in this folder"));
}

// The segmenter of the same project, by the same queue.
class SegmenterJobsTest : public JobsTest {
 protected:
  static constexpr model_store::Kind kSegmenter = model_store::Kind::kSegmenter;

  SegmenterJobsTest() {
    std::vector<std::string> command = trainer_.command();
    command.push_back("--segmenter_checkpoint=" +
                      program_.Write("sam.pth", "the default segmenter"));
    command.push_back("--train_flags=--epochs=40");
    command.push_back("--segmenter_train_flags=--epochs=3");
    trainer_.SetCommand(command);
    // Every second one has been outlined.
    for (int i = 1; i <= 20; i += 2) studio_.AddTask(i, Image(i), {Outline()});
  }
  static FakeProject::Annotation Outline() {
    return {.result = {Diamond("bolt", 12.5, 12.5, 50, 50, kSide, kSide)}};
  }
  // The lines of Calls() with, or without, that word.
  std::string CallsOf(const std::string& word, bool with) const {
    std::string calls;
    for (const auto line : absl::StrSplit(Calls(), '\n', absl::SkipEmpty())) {
      if (absl::StrContains(line, word) == with) absl::StrAppend(&calls, line, "\n");
    }
    return calls;
  }
};

TEST_F(SegmenterJobsTest, MasksBecomeAVersionOfTheSegmenter) {
  Write("behaviour", "echo '{\"num_heads\": 1}' >\"$out/last.pth.json\"\n");
  trainer_.Start();

  const pb::Job job = trainer_.Train(SegmenterRequest());

  ASSERT_EQ(job.state(), pb::Job::STATE_DONE) << job.DebugString();
  EXPECT_EQ(job.kind(), pb::MODEL_KIND_SEGMENTER);
  EXPECT_EQ(job.images(), 10u) << "those with an outline, of fifteen";
  EXPECT_EQ(job.annotations(), 10u);
  EXPECT_EQ(job.verdict().model_name(), "project-7");
  EXPECT_EQ(job.verdict().parent(), 0u);
  ASSERT_OK_AND_ASSIGN(const model_store::Manifest manifest,
                       Store().VerifyVersion(kSegmenter, "project-7", 1));
  EXPECT_EQ(manifest.kind, kSegmenter);
  EXPECT_THAT(manifest.classes, IsEmpty()) << "a segmenter knows none";
  EXPECT_EQ(job.verdict().model_sha256(), manifest.weights().sha256);
  EXPECT_TRUE(fs::exists(Store().PathOf(kSegmenter, "project-7", 1) + "/model.pth.json"));
  EXPECT_FALSE(fs::exists(Store().PathOf(model_store::Kind::kDetector, "project-7", 1)));
  EXPECT_THAT(CallsOf("compare", false),
              AllOf(::testing::StartsWith("segmenter --save_minutes"), HasSubstr("sam.pth"),
                    HasSubstr("--epochs=3"), HasSubstr("--report_of=last"),
                    HasSubstr("validation.json"), Not(HasSubstr("--epochs=40"))));
  EXPECT_THAT(CallsOf("compare", true), AllOf(HasSubstr("sam.pth"), HasSubstr("--annotated=10 ")));
  EXPECT_THAT(Calls(), Not(HasSubstr("--label_config"))) << "which it would refuse";
  EXPECT_THAT(trainer_.Leftovers(), IsEmpty());
}

TEST_F(SegmenterJobsTest, ItGoesOnFromTheVersionThatServesAndHasLooksOfItsOwn) {
  trainer_.Start();
  ASSERT_EQ(trainer_.Train().state(), pb::Job::STATE_DONE);
  ASSERT_EQ(trainer_.Train(SegmenterRequest()).verdict().version(), 1u);
  EXPECT_THAT(CallsOf("compare", true), Not(HasSubstr("--looks=2")))
      << "detectors' comparisons don't count";
  ServeVersionOne(kSegmenter);

  const pb::Job job = trainer_.Train(SegmenterRequest());

  EXPECT_EQ(job.verdict().parent(), 1u) << job.DebugString();
  EXPECT_THAT(CallsOf("compare", true), HasSubstr("--looks=2"));
  EXPECT_THAT(Calls(), HasSubstr("--from=" + Store().PathOf(kSegmenter, "project-7", 1)));
}

TEST_F(SegmenterJobsTest, AVersionThatWasDamagedByHandIsNotBegunFrom) {
  trainer_.Start();
  ASSERT_EQ(trainer_.Train(SegmenterRequest()).verdict().version(), 1u);
  ServeVersionOne(kSegmenter);
  std::ofstream(Store().PathOf(kSegmenter, "project-7", 1) + "/model.pth") << "other";
  ExpectFailure(trainer_.Train(SegmenterRequest()),
                AllOf(HasSubstr("version 1 of project-7, which serves"),
                      HasSubstr("rollback project-7 --kind=segmenter'")));
}

TEST_F(SegmenterJobsTest, WhoWantsDetectorsAloneSaysSo) {
  std::vector<std::string> command = trainer_.command();
  command.push_back("--notrain_segmenters");
  trainer_.SetCommand(command);
  trainer_.Start();
  EXPECT_THAT(trainer_.Train(SegmenterRequest()).message(),
              AllOf(HasSubstr("9: "), HasSubstr("no --notrain_segmenters")));
  pb::TrainRequest both;
  both.set_project_id(7);
  both.set_and_segmenter(true);
  const pb::Job job = trainer_.Train(both);
  EXPECT_EQ(job.state(), pb::Job::STATE_DONE) << job.DebugString();
  EXPECT_EQ(job.next_job_id(), "");
}

TEST_F(SegmenterJobsTest, AProjectWithoutMasksIsRefused) {
  for (int i = 1; i <= 20; ++i) studio_.AddTask(i, Image(i), {Box("bolt")});
  trainer_.Start();
  ExpectFailure(trainer_.Train(SegmenterRequest()),
                AllOf(HasSubstr("project 7 has no mask"), HasSubstr("polygons")));
}

TEST_F(SegmenterJobsTest, BothAreTrainedOneAfterTheOtherIfThereAreMasks) {
  pb::TrainRequest both;
  both.set_project_id(7);
  both.set_requested_by("Ann");
  both.set_and_segmenter(true);
  trainer_.Start();

  const pb::Job detector = trainer_.Train(both);
  ASSERT_EQ(detector.state(), pb::Job::STATE_DONE) << detector.DebugString();
  EXPECT_EQ(detector.kind(), pb::MODEL_KIND_DETECTOR);
  const pb::Job segmenter = trainer_.Follow();

  EXPECT_EQ(segmenter.id(), detector.next_job_id());
  EXPECT_EQ(segmenter.kind(), pb::MODEL_KIND_SEGMENTER);
  EXPECT_EQ(segmenter.state(), pb::Job::STATE_DONE) << segmenter.DebugString();
  EXPECT_EQ(segmenter.requested_by(), "Ann");
  EXPECT_THAT(Store().VerifyVersion(model_store::Kind::kDetector, "project-7", 1), IsOk());
  EXPECT_THAT(Store().VerifyVersion(kSegmenter, "project-7", 1), IsOk());

  for (int i = 1; i <= 20; ++i) studio_.AddTask(i, Image(i), {Box("bolt")});
  const pb::Job alone = trainer_.Train(both);
  EXPECT_EQ(alone.state(), pb::Job::STATE_DONE) << alone.DebugString();
  EXPECT_EQ(alone.next_job_id(), "") << "nothing is drawn any more";
  EXPECT_EQ(trainer_.Newest().id(), alone.id());
  EXPECT_THAT(trainer_.Leftovers(), IsEmpty());
}

// Killed at random moments it ends with a version, with nothing left behind. More rounds with
// DUET_TRAINER_KILLS=200.
TEST_F(JobsTest, KilledAtAnyMomentItGoesOn) {
  const char* const asked_for = std::getenv("DUET_TRAINER_KILLS");
  const int rounds = asked_for == nullptr ? 5 : std::atoi(asked_for);
  Write("behaviour", "sleep 0.05\n");
  std::mt19937 random(1);
  std::uniform_int_distribution<int> wait_us(0, 300'000);
  for (int i = 0; i < rounds; ++i) {
    trainer_.Start();
    std::thread asked([&] { (void)trainer_.Train(); });
    std::this_thread::sleep_for(std::chrono::microseconds(wait_us(random)));
    EXPECT_EQ(trainer_.Stop(SIGKILL), -SIGKILL);
    asked.join();
  }
  trainer_.Start();
  const pb::Job job = trainer_.Train();

  EXPECT_EQ(job.state(), pb::Job::STATE_DONE) << job.DebugString();
  EXPECT_THAT(trainer_.Leftovers(), IsEmpty());
  std::set<std::uint64_t> told;
  for (const pb::Job& one : trainer_.Jobs()) {
    EXPECT_EQ(one.state(), pb::Job::STATE_DONE) << one.DebugString();
    told.insert(one.verdict().version());
  }
  const auto versions = Store().ListVersions(model_store::Kind::kDetector, "project-7");
  ASSERT_THAT(versions, IsOk());
  for (const std::uint64_t version : *versions) {
    EXPECT_TRUE(told.contains(version)) << version << " is no job's";
    EXPECT_THAT(Store().VerifyVersion(model_store::Kind::kDetector, "project-7", version), IsOk());
  }
}

}  // namespace
}  // namespace trainer_service::testing
