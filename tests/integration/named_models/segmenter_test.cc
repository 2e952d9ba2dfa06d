// duet-segmenter with models below a model root: another family, and decoders that were tuned on
// the same encoder. Who made a mask can be seen in it: its score.
#include <absl/time/clock.h>
#include <gmock/gmock.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/pth_writer.h"
#include "duet/segmenter/v1/segmenter.grpc.pb.h"
#include "tests/integration/named_models/model_root.h"
#include "tests/integration/named_models/service_process.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/subprocess.h"

namespace named_models {
namespace {

namespace pb = duet::segmenter::v1;
using duet::vision::v1::ModelStatus;
using duet_testing::IsOk;
using duet_testing::ReadFile;
using testing::HasSubstr;

const std::string kData = std::string(DUET_TEST_DATA) + "/segmenter/";
constexpr int kClients = 3;
// Of answers, between two changes.
constexpr int kPerChange = 50;

class Segmenter : public ServiceProcess<pb::Segmenter, pb::GetModelRequest, pb::GetModelResponse> {
 public:
  Segmenter(const std::string& checkpoint, const std::vector<std::string>& flags)
      : ServiceProcess({DUET_SEGMENTER, "--checkpoint=" + checkpoint}, flags) {}

  pb::EmbedResponse Embed(const std::string& name) {
    pb::EmbedRequest request;
    request.mutable_image()->set_data(image_);
    request.mutable_model()->set_name(name);
    grpc::ClientContext call;
    pb::EmbedResponse response;
    const grpc::Status status = stub().Embed(&call, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
  // A click.
  grpc::Status Segment(const std::string& name, pb::SegmentResponse* response) {
    pb::SegmentRequest request;
    request.mutable_image()->set_data(image_);
    request.mutable_model()->set_name(name);
    pb::Point* const point = request.add_prompts()->add_points();
    point->set_x(12);
    point->set_y(9);
    point->set_label(1);
    grpc::ClientContext call;
    return stub().Segment(&call, request, response);
  }
  // The masks, without times and names; or the error's message.
  std::string Masks(const std::string& name) {
    pb::SegmentResponse response;
    const grpc::Status status = Segment(name, &response);
    if (!status.ok()) return status.error_message();
    response.clear_timing();
    response.clear_model();
    response.clear_embedding_cached();
    return response.DebugString();
  }
  // Everything in the image: the masks, and the model that says it made them.
  std::pair<int, std::string> Everything(const std::string& name) {
    pb::SegmentEverythingRequest request;
    request.mutable_image()->set_data(image_);
    request.set_points_per_side(2);
    request.mutable_model()->set_name(name);
    grpc::ClientContext call;
    const auto reader = stub().SegmentEverything(&call, request);
    pb::SegmentEverythingResponse response;
    std::pair<int, std::string> found;
    while (reader->Read(&response)) {
      found.first += response.has_mask() ? 1 : 0;
      found.second = response.model().name() + " " + response.model().version();
    }
    EXPECT_TRUE(reader->Finish().ok());
    return found;
  }
  std::string VersionOf(const std::string& name) { return GetModel(name).model().version(); }

 private:
  const std::string image_ = ReadFile(kData + "a0.png");
};

class NamedSegmentersTest : public testing::Test {
 protected:
  NamedSegmentersTest() {
    for (const int score : {10, 20}) TuneScores(static_cast<float>(score), Tuned(score));
  }

  // SAM's file with a decoder whose masks have scores higher by this.
  static void TuneScores(float by, const std::string& path) {
    auto file = checkpoint::ReadCheckpoint(kData + "sam_a.pth");
    ASSERT_THAT(file, IsOk());
    int changed = 0;
    for (auto& [name, view] : file->state_dict) {
      // The last layer of the head, however many there are.
      if (name.find("iou_prediction_head.layers.") == std::string::npos) continue;
      if (!name.ends_with("bias") || name.find("layers.2") == std::string::npos) continue;
      auto values = std::make_shared<std::vector<float>>(view.NumElements());
      std::memcpy(values->data(), view.data, values->size() * sizeof(float));
      for (float& value : *values) value += by;
      view.data = reinterpret_cast<const std::byte*>(values->data());
      view.owner = values;
      ++changed;
    }
    ASSERT_EQ(changed, 1);
    ASSERT_THAT(checkpoint::WritePth(path, file->state_dict, std::nullopt), IsOk());
  }

  std::string Tuned(int score) const { return root_.File(std::to_string(score) + ".pth"); }
  std::unique_ptr<Segmenter> Start(const std::vector<std::string>& more = {}) {
    std::vector<std::string> flags = {"--model_root=" + root_.path(), "--model_poll_ms=50",
                                      same_kernels_};
    flags.insert(flags.end(), more.begin(), more.end());
    return std::make_unique<Segmenter>(kData + "sam_a.pth", flags);
  }

  ModelRoot root_{model_store::Kind::kSegmenter};
  // Processes that measure for themselves may choose kernels that differ in the last bits.
  const std::string same_kernels_ = "--kernel_plan=" + root_.File("kernel_plan");
};

TEST_F(NamedSegmentersTest, NamesOfOneProcessAnswerAsProcessesOfTheirOwn) {
  const std::string weights[] = {kData + "mobile_sam_a.pth", kData + "sam2.1_a.pth", Tuned(10)};
  for (int i = 0; i < 3; ++i) {
    root_.Publish("project-" + std::to_string(i), weights[i]);
    root_.Serve("project-" + std::to_string(i), 1);
  }
  const auto all = Start();
  for (int i = 0; i < 3; ++i) {
    const std::string name = "project-" + std::to_string(i);
    Segmenter alone(weights[i], {same_kernels_});
    EXPECT_EQ(all->Masks(name), alone.Masks("")) << weights[i];
    EXPECT_EQ(all->VersionOf(name), alone.VersionOf(""));
    EXPECT_EQ(all->GetModel(name).model().served_as(), name);
    const auto [masks, made_by] = all->Everything(name);
    EXPECT_EQ(masks, alone.Everything("").first);
    if (masks > 0) {
      EXPECT_EQ(made_by, name + " " + alone.VersionOf(""));
    }
    EXPECT_EQ(all->Embed(name).model().name(), name);
  }
  EXPECT_EQ(all->List().models_size(), 4);
}

TEST_F(NamedSegmentersTest, ATunedDecoderUsesTheEmbeddingsOfItsEncoder) {
  root_.Publish("project-7", Tuned(10));
  root_.Publish("project-7", Tuned(20));
  root_.Serve("project-7", 1);
  const auto segmenter = Start();
  EXPECT_FALSE(segmenter->Embed("").cached());
  EXPECT_TRUE(segmenter->Embed("project-7").cached()) << "the default model's is the same";
  const std::string before = segmenter->VersionOf("project-7");
  root_.Serve("project-7", 2);
  while (segmenter->VersionOf("project-7") == before) std::this_thread::yield();
  EXPECT_TRUE(segmenter->Embed("project-7").cached()) << "a swap voids none";
}

TEST_F(NamedSegmentersTest, SwapsAndRollbacksUnderLoadLoseNoAnswerAndMistakeNone) {
  root_.Publish("project-7", Tuned(10));
  root_.Publish("project-7", Tuned(20));
  root_.Serve("project-7", 2);
  const auto segmenter = Start();
  std::string versions[3];  // by the stored version
  versions[2] = segmenter->VersionOf("project-7");
  root_.Serve("project-7", 1);
  while ((versions[1] = segmenter->VersionOf("project-7")) == versions[2]) {
    std::this_thread::yield();
  }

  Answers answers(WantedAnswers(1'000));
  const auto ask = [&] {
    while (!answers.over()) {
      pb::SegmentResponse response;
      const grpc::Status status = segmenter->Segment("project-7", &response);
      std::string wrong = status.error_message();
      if (status.ok()) {
        const float score = response.results(0).masks(0).iou_score();
        const int made_by = score > 15 ? 2 : score > 5 ? 1 : 0;
        if (response.model().version() != versions[made_by]) {
          wrong = std::to_string(score) + " by " + response.model().version();
        }
        if (response.model_version() != response.model().version()) wrong = "two versions";
        if (response.model().name() != "project-7") wrong = "another name";
      }
      answers.Count(response.model().version(), wrong);
    }
  };
  std::vector<std::thread> clients;
  for (int i = 0; i < kClients; ++i) clients.emplace_back(ask);
  answers.ChangeUntilOver(root_, "project-7", kPerChange, {{1, versions[1]}, {2, versions[2]}});
  for (std::thread& client : clients) client.join();
}

TEST_F(NamedSegmentersTest, WhatIsNoSegmenterIsSaid) {
  root_.Publish("project-7", std::string(DUET_TEST_DATA) + "/detector/tiny.pth");
  root_.Serve("project-7", 1);
  const auto segmenter = Start();
  const std::string error = segmenter->Masks("project-7");
  EXPECT_THAT(error, HasSubstr("model.name is 'project-7', which can't be loaded: "));
  EXPECT_THAT(error, HasSubstr("project-7/1/model.pth: "));
  const ModelStatus status = StatusOf(segmenter->List(), "project-7");
  EXPECT_EQ(status.state(), ModelStatus::STATE_FAILED);
  EXPECT_THAT(error, HasSubstr(status.error()));
  EXPECT_EQ(segmenter->Masks("").find("model."), std::string::npos)
      << "the default model serves on";
}

}  // namespace
}  // namespace named_models
