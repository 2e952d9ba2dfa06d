// Swaps and rollbacks of a project's model as its users see them: a gateway before two replicas of
// duet-detector, which follow serving.json by themselves. Who made a prediction can be seen in it:
// the classes of the weights "a" begin with an a.
#include <absl/time/time.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/pth_writer.h"
#include "duet/detector/v1/detector.grpc.pb.h"
#include "tests/integration/gateway/harness.h"
#include "tests/integration/named_models/model_root.h"
#include "tests/integration/named_models/service_process.h"
#include "tests/testing/status_matchers.h"

namespace named_models {
namespace {

namespace json = boost::json;
namespace pb = duet::detector::v1;
using duet_testing::IsOk;
using gateway::testing::Harness;
using Detector = ServiceProcess<pb::Detector, pb::GetModelRequest, pb::GetModelResponse>;

const std::string kData = DUET_TEST_DATA;
constexpr int kClients = 3;
constexpr int kTasks = 20;  // of a batch
constexpr int kPerChange = 400;

class NamedModelsGatewayTest : public testing::Test {
 protected:
  NamedModelsGatewayTest() {
    const auto file = checkpoint::ReadCheckpoint(kData + "/detector/tiny.pth");
    EXPECT_THAT(file, IsOk());
    for (const char letter : {'a', 'b'}) {
      checkpoint::Meta meta = file->meta;
      for (std::size_t i = 0; i < meta.classes.size(); ++i) {
        meta.classes[i] = letter + std::to_string(i);
        labels_ += "<Label value=\"" + meta.classes[i] + "\"/>";
      }
      const std::string weights = root_.File(std::string(1, letter) + ".pth");
      EXPECT_THAT(checkpoint::WritePth(weights, file->state_dict, meta), IsOk());
      root_.Publish("project-1", weights);
    }
    root_.Serve("project-1", 1);
    for (auto& replica : replicas_) {
      replica = std::make_unique<Detector>(
          std::vector<std::string>{DUET_DETECTOR, "--checkpoint=" + kData + "/detector/tiny.pth",
                                   "--input_size=64", "--log_level=info"},
          std::vector<std::string>{"--model_root=" + root_.path()});
    }
  }
  // Once all replicas serve it.
  std::string VersionOf(std::uint64_t version, char letter) {
    root_.Serve("project-1", version);
    std::string model_version;
    for (auto& replica : replicas_) {
      pb::GetModelResponse model;
      do {
        model = replica->GetModel("project-1");
      } while (model.classes(0)[0] != letter);
      model_version = model.model().version();
    }
    return model_version;
  }

  ModelRoot root_{model_store::Kind::kDetector};
  std::unique_ptr<Detector> replicas_[2];
  std::string labels_;
};

TEST_F(NamedModelsGatewayTest, SwapsAndRollbacksUnderLoadLoseNoPredictionAndMistakeNone) {
  std::map<char, std::string> version_of;
  version_of['b'] = VersionOf(2, 'b');
  version_of['a'] = VersionOf(1, 'a');
  ASSERT_NE(version_of['a'], version_of['b']);
  gateway::testing::HarnessOptions options;
  options.detector = replicas_[0]->address() + "," + replicas_[1]->address();
  options.settings.score_threshold = 0.001;  // the weights are random
  options.settings.max_detections = 3;
  options.gateway.label_studio.url = "http://studio";
  Harness gateway(std::move(options));
  gateway.AwaitModels();
  const json::value batch = gateway::testing::PredictBody(
      R"(<View><Image name="image" value="$image"/><RectangleLabels name="rect" toName="image">)" +
          labels_ + "</RectangleLabels></View>",
      std::vector<std::string>(kTasks, gateway::testing::PngDataUri(64, 64)));

  Answers answers(WantedAnswers(5'000));
  const auto judge = [&](const json::value& prediction) {
    const json::object& object = prediction.as_object();
    if (!object.contains("model_version")) return answers.Count("", "a task is lost");
    const std::string version(object.at("model_version").as_string());
    const std::string model = version.substr(0, version.find('+'));
    std::string wrong = object.at("result").as_array().empty()
                            ? "nothing to judge by in an answer of " + version
                            : "";
    for (const json::value& region : object.at("result").as_array()) {
      const std::string label(region.at("value").at("rectanglelabels").at(0).as_string());
      if (version_of.at(label[0]) != model) wrong = label + " by " + version;
    }
    answers.Count(model, wrong);
  };
  std::vector<std::thread> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.emplace_back([&] {
      while (!answers.over()) {
        const gateway::testing::Reply reply = gateway.Post("/predict", batch);
        if (reply.status != 200) return answers.Count("", reply.body);
        const json::value answer = reply.json();
        for (const json::value& one : answer.at("results").as_array()) judge(one);
      }
    });
  }
  answers.ChangeUntilOver(root_, "project-1", kPerChange,
                          {{1, version_of['a']}, {2, version_of['b']}});
  for (std::thread& client : clients) client.join();
}

}  // namespace
}  // namespace named_models
