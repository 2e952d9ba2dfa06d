// Two detectors and two segmenters behind a gateway, while their models are replaced under load,
// one replica after another, and replicas restart: no prediction is lost, and none carries another
// version than that of the models that made it.
//
// Who made a prediction can be seen in it: the classes of detector "a" begin with an a, and the
// masks of segmenter "a" have another score than those of "b". The detectors are real ones, of 64
// pixels; the segmenters' networks are fakes behind the real service.
//
// 5,000 predictions; 100,000 if DUET_SOAK is set.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors_writer.h"
#include "detector_service/rpc/detector_service.h"
#include "segmenter_service/rpc/segmenter_service.h"
#include "serving/grpc_server.h"
#include "tests/integration/gateway/harness.h"
#include "tests/testing/temp_dir.h"
#include "tests/unit/segmenter_service/inference/fake_network.h"

namespace {

namespace json = boost::json;
using gateway::testing::Harness;
using gateway::testing::HarnessOptions;
using gateway::testing::PngDataUri;
using gateway::testing::PredictBody;
using gateway::testing::Reply;

constexpr int kReplicas = 2;
constexpr int kClients = 3;
constexpr std::size_t kBatch = 25;
// Of predictions, between two changes.
constexpr int kPerChange = 200;

std::string ScoreText(double score) { return score < 0.5 ? "a" : "b"; }

// Its masks' scores say whose they are.
class SignedNetwork final : public segmenter::FakeNetwork {
 public:
  explicit SignedNetwork(char letter) : score_(letter == 'a' ? 0.25F : 0.75F) {}

  absl::StatusOr<segmenter::LowResMasks> DecodeMasks(const segmenter::Embedding& embedding,
                                                     absl::Span<const segmenter::Prompt> prompts,
                                                     bool multimask_output) override {
    auto masks = FakeNetwork::DecodeMasks(embedding, prompts, multimask_output);
    for (float& score : masks->iou_scores) score = score_;
    return masks;
  }

 private:
  const float score_;
};

std::shared_ptr<const segmenter::ServedModel> SegmenterModel(char letter) {
  auto model = std::make_shared<segmenter::ServedModel>();
  model->name = "fake";
  model->version = std::string("sam-") + letter;
  model->encoder = model->version;
  model->network = std::make_shared<SignedNetwork>(letter);
  return model;
}

// A service on a port that it keeps when it restarts.
class Port {
 public:
  explicit Port(grpc::Service* service) : service_(service) { Start(); }
  ~Port() { Stop(); }

  void Restart() {
    Stop();
    Start();
  }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  void Start() {
    auto server = serving::GrpcServer::Start({.port = port_}, {service_}, &metrics_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    server_->SetReady(true);
    port_ = server_->port();
  }
  void Stop() {
    server_->SetReady(false);
    server_->Drain(absl::Now() + absl::Seconds(30));
    server_.reset();
  }

  grpc::Service* const service_;
  serving::Metrics metrics_;
  int port_ = 0;
  std::unique_ptr<serving::GrpcServer> server_;
};

class DetectorReplica {
 public:
  DetectorReplica(const std::string& root, const std::shared_ptr<detector::DetectionModel>& model)
      : host_(model, {.enabled = true, .model_root = root}, detector::LoaderWith(/*threads=*/1)),
        service_({.queue_size = 64, .threads = 1}, &host_, &images_, &serving::Clock::Real(),
                 &metrics_),
        port_(&service_) {}

  // As ReloadModel does; the version.
  std::string Reload(char letter) {
    duet::vision::v1::ReloadModelRequest request;
    request.set_checkpoint("weights.safetensors");
    request.set_config_file(std::string(1, letter) + ".py");
    const auto reloaded = host_.Reload(request);
    EXPECT_TRUE(reloaded.ok()) << reloaded.status();
    return reloaded.ok() ? reloaded->model->version() : "";
  }
  Port& port() { return port_; }

 private:
  serving::Metrics metrics_;
  detector::ModelHost host_;
  const model_service::ImageSource images_{"", vision::ImageLimits{}, metrics_};
  detector::DetectorService service_;
  Port port_;
};

class SegmenterReplica {
 public:
  SegmenterReplica()
      : engine_({}, serving::Clock::Real(), metrics_),
        host_(SegmenterModel('a')),
        service_(&host_, &images_, &engine_),
        port_(&service_) {}

  void Reload(char letter) { host_.Replace(SegmenterModel(letter)); }
  Port& port() { return port_; }

 private:
  serving::Metrics metrics_;
  segmenter::Segmenter engine_;
  segmenter::ModelHost host_;
  const model_service::ImageSource images_{"", vision::ImageLimits{}, metrics_};
  segmenter::SegmenterService service_;
  Port port_;
};

class RollingTest : public testing::Test {
 protected:
  RollingTest() {
    const auto file =
        checkpoint::ReadCheckpoint(std::string(DUET_TEST_DATA) + "/detector/tiny.pth");
    EXPECT_TRUE(file.ok()) << file.status();
    EXPECT_TRUE(
        checkpoint::WriteSafetensors(folder_.path() + "/weights.safetensors", file->state_dict, {})
            .ok());
    std::string labels;
    for (const char letter : {'a', 'b'}) {
      std::string names;
      for (int i = 0; i < 5; ++i) {
        const std::string name = letter + std::to_string(i);
        names += "'" + name + "', ";
        labels += "<Label value=\"" + name + "\"/>";
      }
      folder_.Write(std::string(1, letter) + ".py", "metainfo = dict(classes=(" + names + "))\n");
    }
    config_ = R"(<View><Image name="image" value="$image"/><RectangleLabels name="box"
        toName="image">)" +
              labels + R"(</RectangleLabels><BrushLabels name="mask" toName="image">)" + labels +
              "</BrushLabels></View>";

    const auto load = [&](char letter) {
      auto model =
          detector::DetectionModel::Load({.checkpoint = folder_.path() + "/weights.safetensors",
                                          .config_file = folder_.path() + "/" + letter + ".py",
                                          .input_size = vision::Size{64, 64}});
      EXPECT_TRUE(model.ok()) << model.status();
      detector_letter_[(*model)->version()] = letter;
      return std::shared_ptr<detector::DetectionModel>(*std::move(model));
    };
    load('b');
    const auto first = load('a');
    EXPECT_EQ(detector_letter_.size(), 2U) << "their answers differ";
    HarnessOptions options;
    for (int i = 0; i < kReplicas; ++i) {
      detectors_[i] = std::make_unique<DetectorReplica>(folder_.path(), first);
      segmenters_[i] = std::make_unique<SegmenterReplica>();
      const char* const comma = i > 0 ? "," : "";
      options.detector += comma + detectors_[i]->port().address();
      options.segmenter += comma + segmenters_[i]->port().address();
    }
    options.settings.score_threshold = 0.001;  // the weights are random
    options.settings.max_detections = 2;
    harness_ = std::make_unique<Harness>(std::move(options));
    harness_->AwaitModels();
    for (int i = 0; i < 8; ++i) pictures_.push_back(PngDataUri(64, 48, 30 * i));
  }

  // Until so many more predictions have come.
  void Await(int more) {
    std::unique_lock lock(mutex_);
    const int wanted = std::min(answered_ + more, wanted_);
    changed_.wait(lock, [&] { return answered_ >= wanted || failed_; });
  }
  bool over() {
    const std::lock_guard lock(mutex_);
    return answered_ >= wanted_ || failed_;
  }

  // "" if the prediction is what its version says; else what is wrong.
  std::string Judge(const json::value& prediction) {
    const json::object& object = prediction.as_object();
    if (!object.contains("model_version")) return "lost";
    const std::string version(object.at("model_version").as_string());
    const std::size_t plus = version.find('+');
    const std::string detector = version.substr(0, plus);
    const std::string rest = version.substr(plus + 1);
    const auto letter = detector_letter_.find(detector);
    if (letter == detector_letter_.end()) return "an unknown detector: " + version;
    const std::string sam = rest.substr(0, rest.find('+'));
    if (sam != "sam-a" && sam != "sam-b") return "an unknown segmenter: " + version;
    const json::array& regions = object.at("result").as_array();
    if (regions.empty()) return "nothing to judge by";
    for (const json::value& region : regions) {
      const std::string kind(region.at("type").as_string());
      const std::string label(region.at("value").at(kind).at(0).as_string());
      if (label[0] != letter->second) return label + " by " + version;
      if (kind != "brushlabels") continue;
      const std::string by = ScoreText(region.at("score").to_number<double>());
      if (by != sam.substr(4)) return "a mask of " + by + " by " + version;
    }
    const std::lock_guard lock(mutex_);
    ++by_version_[detector_letter_.at(detector) + sam];
    return "";
  }

  void Ask(int client) {
    for (int request = 0; !over(); ++request) {
      // Mostly batches; now and then a task that somebody opens.
      const std::size_t size = request % 10 == 9 ? 1 : kBatch;
      std::vector<std::string> pictures;
      for (std::size_t i = 0; i < size; ++i) {
        pictures.push_back(pictures_[(i + client + request) % pictures_.size()]);
      }
      const Reply reply = harness_->Post("/predict", PredictBody(config_, pictures));
      std::string wrong = reply.status == 200 ? "" : reply.body;
      if (wrong.empty()) {
        for (std::size_t i = 0; i < size && wrong.empty(); ++i) wrong = Judge(reply.result(i));
      }
      const std::lock_guard lock(mutex_);
      if (!wrong.empty()) {
        ADD_FAILURE() << wrong << " after " << answered_;
        failed_ = true;
      }
      answered_ += static_cast<int>(size);
      changed_.notify_all();
    }
  }

  duet_testing::TempDir folder_;
  std::string config_;
  std::vector<std::string> pictures_;
  std::map<std::string, char> detector_letter_;  // by version
  std::array<std::unique_ptr<DetectorReplica>, kReplicas> detectors_;
  std::array<std::unique_ptr<SegmenterReplica>, kReplicas> segmenters_;
  std::unique_ptr<Harness> harness_;

  const int wanted_ = std::getenv("DUET_SOAK") != nullptr ? 100'000 : 5'000;
  std::mutex mutex_;
  std::condition_variable changed_;
  int answered_ = 0;                       // guarded by mutex_
  bool failed_ = false;                    // guarded by mutex_
  std::map<std::string, int> by_version_;  // guarded by mutex_
};

TEST_F(RollingTest, NoPredictionIsLostOrSaysAnotherVersionThanMadeIt) {
  std::vector<std::thread> clients;
  for (int i = 0; i < kClients; ++i) clients.emplace_back([this, i] { Ask(i); });

  int changes = 0;
  for (char letter = 'b'; !over(); letter = letter == 'a' ? 'b' : 'a') {
    for (int i = 0; i < kReplicas && !over(); ++i, ++changes) {
      Await(kPerChange);
      // Not both at once: detector and segmenter are rolled by themselves.
      if (changes % 3 != 2) detectors_[i]->Reload(letter);
      if (changes % 3 != 0) segmenters_[i]->Reload(letter);
      Await(kPerChange);
      // Where replicas differ, the one of the two that restarts may be the last of its version.
      if (changes % 2 == 0) detectors_[1 - i]->port().Restart();
      if (changes % 4 == 1) segmenters_[1 - i]->port().Restart();
    }
  }
  for (std::thread& client : clients) client.join();

  EXPECT_GT(changes, 4);
  for (const char* version : {"asam-a", "bsam-b"}) EXPECT_GT(by_version_[version], 0) << version;
  for (const auto& [version, count] : by_version_) {
    RecordProperty(version, count);
    std::printf("%s: %d\n", version.c_str(), count);
  }
}

}  // namespace
