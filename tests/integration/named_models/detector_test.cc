// duet-detector with models below a model root. Who made an answer can be seen in it: the classes
// of the weights "a" begin with an a.
#include <absl/time/clock.h>
#include <gmock/gmock.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/pth_writer.h"
#include "duet/detector/v1/detector.grpc.pb.h"
#include "tests/integration/named_models/model_root.h"
#include "tests/integration/named_models/service_process.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/subprocess.h"

namespace named_models {
namespace {

namespace fs = std::filesystem;
namespace pb = duet::detector::v1;
using duet::vision::v1::ModelStatus;
using duet_testing::IsOk;
using duet_testing::ReadFile;
using testing::HasSubstr;

const std::string kData = DUET_TEST_DATA;
constexpr int kClients = 3;
// Of answers, between two changes.
constexpr int kPerChange = 200;

class Detector : public ServiceProcess<pb::Detector, pb::GetModelRequest, pb::GetModelResponse> {
 public:
  Detector(const std::string& checkpoint, const std::vector<std::string>& flags)
      : ServiceProcess(
            {DUET_DETECTOR, "--checkpoint=" + checkpoint, "--input_size=64", "--log_level=info"},
            flags) {}

  grpc::Status Detect(const std::string& name, const std::string& version,
                      pb::DetectResponse* response) {
    pb::DetectRequest request;
    request.mutable_image()->set_data(image_);
    request.set_score_threshold(0.001F);  // the weights are random
    request.set_max_detections(3);
    request.mutable_model()->set_name(name);
    request.mutable_model()->set_version(version);
    grpc::ClientContext call;
    return stub().Detect(&call, request, response);
  }
  // What was detected, without times and versions; or the error's message.
  std::string Detections(const std::string& name) {
    pb::DetectResponse response;
    const grpc::Status status = Detect(name, "", &response);
    if (!status.ok()) return status.error_message();
    response.clear_timing();
    response.clear_model();
    return response.DebugString();
  }
  void Reload(const std::string& checkpoint) {
    duet::vision::v1::ReloadModelRequest request;
    request.set_checkpoint(checkpoint);
    grpc::ClientContext call;
    duet::vision::v1::ReloadModelResponse response;
    const grpc::Status status = stub().ReloadModel(&call, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
  }
  ModelStatus AwaitState(const std::string& name, ModelStatus::State state) {
    for (;;) {
      const ModelStatus status = StatusOf(List(), name);
      if (status.state() == state) return status;
      std::this_thread::yield();
    }
  }

 private:
  const std::string image_ = ReadFile(kData + "/images/rgb.jpg");
};

class NamedDetectorsTest : public testing::Test {
 protected:
  NamedDetectorsTest() {
    for (const char letter : {'a', 'b', 'c'}) {
      const auto file = checkpoint::ReadCheckpoint(kData + "/detector/tiny.pth");
      EXPECT_THAT(file, IsOk());
      checkpoint::Meta meta = file->meta;
      for (std::size_t i = 0; i < meta.classes.size(); ++i) {
        meta.classes[i] = letter + std::to_string(i);
      }
      EXPECT_THAT(checkpoint::WritePth(Weights(letter), file->state_dict, meta), IsOk());
    }
  }

  std::string Weights(char letter) const { return root_.File(std::string(1, letter) + ".pth"); }
  std::unique_ptr<Detector> Start(const std::vector<std::string>& more = {}) {
    std::vector<std::string> flags = {"--model_root=" + root_.path(), "--model_poll_ms=50",
                                      same_kernels_};
    flags.insert(flags.end(), more.begin(), more.end());
    return std::make_unique<Detector>(kData + "/detector/tiny.pth", flags);
  }
  // With one version a letter, of which the first serves.
  void Make(const std::string& name, const std::string& letters) {
    for (const char letter : letters) root_.Publish(name, Weights(letter));
    root_.Serve(name, 1);
  }

  ModelRoot root_{model_store::Kind::kDetector};
  // Processes that measure for themselves may choose kernels that differ in the last bits.
  const std::string same_kernels_ = "--kernel_plan=" + root_.File("kernel_plan");
};

TEST_F(NamedDetectorsTest, TwoNamesOfOneProcessAnswerAsTwoProcesses) {
  Make("project-7", "a");
  Make("project-8", "b");
  const auto both = Start();
  for (const auto& [name, letter] : {std::pair("project-7", 'a'), std::pair("project-8", 'b')}) {
    Detector alone(Weights(letter), {same_kernels_});
    const std::string expected = alone.Detections("");
    EXPECT_THAT(expected, HasSubstr(std::string("label: \"") + letter));
    EXPECT_EQ(both->Detections(name), expected);
    const pb::GetModelResponse model = both->GetModel(name);
    EXPECT_EQ(model.model().version(), alone.GetModel("").model().version());
    EXPECT_EQ(model.model().served_as(), name);
    EXPECT_EQ(model.classes(0)[0], letter);
  }
  const duet::vision::v1::ListModelsResponse list = both->List();
  ASSERT_EQ(list.models_size(), 3);
  EXPECT_EQ(list.models(0).name(), "default");
  EXPECT_EQ(list.models(0).version(), both->GetModel("").model().version());
  EXPECT_GT(list.models(0).memory_bytes(), 0u);
  EXPECT_EQ(list.models(1).name(), "project-7");
  EXPECT_EQ(list.models(2).name(), "project-8");
  EXPECT_THAT(both->Detections("project-9"),
              "model.name is 'project-9', but this replica serves 'default', 'project-7', "
              "'project-8'");
}

TEST_F(NamedDetectorsTest, TheCommandLinesSettingsHoldForAllNamesButClassesForTheDefault) {
  Make("project-7", "a");
  std::string names;
  const auto file = checkpoint::ReadCheckpoint(kData + "/detector/tiny.pth");
  ASSERT_THAT(file, IsOk());
  for (std::size_t i = 0; i < file->meta.classes.size(); ++i)
    names += "z" + std::to_string(i) + ",";
  names.pop_back();
  const auto detector = Start({"--classes=" + names, "--score_threshold=0.25"});
  EXPECT_EQ(detector->GetModel("").classes(0), "z0");
  EXPECT_EQ(detector->GetModel("project-7").classes(0), "a0");
  EXPECT_EQ(detector->GetModel("project-7").score_threshold(), 0.25F);
  EXPECT_EQ(detector->GetModel("project-7").model().input_width(), 64u);
}

TEST_F(NamedDetectorsTest, SwapsAndRollbacksUnderLoadLoseNoAnswerAndMistakeNone) {
  Make("project-7", "ab");
  const auto detector = Start();
  std::map<char, std::string> version_of;
  for (const auto& [version, letter] : {std::pair(2, 'b'), std::pair(1, 'a')}) {
    root_.Serve("project-7", version);
    while (detector->GetModel("project-7").classes(0)[0] != letter) std::this_thread::yield();
    version_of[letter] = detector->GetModel("project-7").model().version();
  }
  ASSERT_NE(version_of['a'], version_of['b']);

  Answers answers(WantedAnswers(5'000));
  const auto ask = [&] {
    while (!answers.over()) {
      pb::DetectResponse response;
      const grpc::Status status = detector->Detect("project-7", "", &response);
      std::string wrong = status.error_message();
      if (status.ok() && response.detections().empty()) wrong = "nothing to judge by";
      for (const pb::Detection& one : response.detections()) {
        if (version_of[one.label()[0]] == response.model().version()) continue;
        wrong = one.label() + " by " + response.model().version();
      }
      if (response.model_version() != response.model().version()) wrong = "two versions";
      if (status.ok() && response.model().name() != "project-7") wrong = "another name";
      answers.Count(response.model().version(), wrong);
    }
  };
  std::vector<std::thread> clients;
  for (int i = 0; i < kClients; ++i) clients.emplace_back(ask);
  answers.ChangeUntilOver(root_, "project-7", kPerChange,
                          {{1, version_of['a']}, {2, version_of['b']}});
  for (std::thread& client : clients) client.join();
}

TEST_F(NamedDetectorsTest, AVersionThatNoLongerServesIsRefusedAndTheOneThatDoesIsNamed) {
  Make("project-7", "ab");
  const auto detector = Start();
  const std::string before = detector->GetModel("project-7").model().version();
  pb::DetectResponse response;
  EXPECT_TRUE(detector->Detect("project-7", before, &response).ok());
  root_.Serve("project-7", 2);
  while (detector->GetModel("project-7").classes(0)[0] != 'b') std::this_thread::yield();
  const grpc::Status status = detector->Detect("project-7", before, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), HasSubstr("model.version is '" + before + "', but this"));
}

TEST_F(NamedDetectorsTest, ModelsStayWithinTheBudget) {
  for (const char letter : {'a', 'b', 'c'}) Make(std::string("model-") + letter, {letter});
  // Two of them: each takes 1.3 MiB of weights and, by estimate, 32 besides.
  const auto detector = Start({"--model_budget_mb=70"});
  for (const char* name : {"model-a", "model-b", "model-a", "model-c", "model-b", "model-a"}) {
    EXPECT_THAT(detector->Detections(name), HasSubstr(std::string("label: \"") + name[6]));
    std::uint64_t bytes = 0;
    const duet::vision::v1::ListModelsResponse list = detector->List();
    for (const ModelStatus& status : list.models()) {
      if (status.name() != "default") bytes += status.memory_bytes();
    }
    EXPECT_GT(bytes, 0u);
    EXPECT_LE(bytes, 70u << 20);
  }
  EXPECT_EQ(StatusOf(detector->List(), "model-c").state(), ModelStatus::STATE_UNLOADED);
}

TEST_F(NamedDetectorsTest, ADamagedVersionLeavesTheOldOneServing) {
  Make("project-7", "ab");
  const auto detector = Start();
  const std::string expected = detector->Detections("project-7");
  const std::string second = root_.store().PathOf(model_store::Kind::kDetector, "project-7", 2);
  const std::string serving =
      root_.store().PathOf(model_store::Kind::kDetector, "project-7") + "/serving.json";
  // What is published is verified before it serves; this is damaged afterwards, or by another way.
  fs::resize_file(second + "/model.pth", 1000);
  std::ofstream(serving) << R"({"version": 2, "previous": 1})";

  const ModelStatus status = detector->AwaitState("project-7", ModelStatus::STATE_FAILED);

  EXPECT_THAT(status.error(), HasSubstr(second + "/model.pth: has 1000 bytes; it was published"));
  EXPECT_EQ(status.stored_version(), 2u);
  EXPECT_EQ(status.loaded_version(), 1u);
  EXPECT_EQ(detector->Detections("project-7"), expected);
  // The files of what serves are gone, too.
  fs::resize_file(root_.store().PathOf(model_store::Kind::kDetector, "project-7", 1) + "/model.pth",
                  0);
  EXPECT_EQ(detector->Detections("project-7"), expected);
  fs::remove_all(second);
  detector->AwaitState("project-7", ModelStatus::STATE_FAILED);
  EXPECT_EQ(detector->Detections("project-7"), expected);
}

TEST_F(NamedDetectorsTest, WhoIsKilledInTheMiddleOfASwapComesBackWithTheNewVersion) {
  Make("project-7", "ab");
  {
    const auto detector = Start();
    EXPECT_EQ(detector->GetModel("project-7").classes(0), "a0");
    root_.Serve("project-7", 2);
    detector->process().Signal(SIGKILL);
    EXPECT_EQ(detector->process().Wait(), -SIGKILL);
  }
  EXPECT_EQ(Start()->GetModel("project-7").classes(0), "b0");
}

TEST_F(NamedDetectorsTest, TheDefaultIsReloadedBesideNamedOnes) {
  Make("project-7", "a");
  const auto detector = Start({"--enable_reload"});
  const std::string expected = detector->Detections("project-7");
  EXPECT_EQ(detector->GetModel("project-7").classes(0), "a0");
  detector->Reload("b.pth");
  EXPECT_EQ(detector->GetModel("").classes(0), "b0");
  EXPECT_EQ(detector->GetModel("").model().served_as(), "default");
  EXPECT_EQ(detector->Detections("project-7"), expected);
}

}  // namespace
}  // namespace named_models
