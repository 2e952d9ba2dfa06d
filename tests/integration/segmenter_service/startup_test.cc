// The program itself: how it starts, what its flags become, and how it refuses to start.

#include <gmock/gmock.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <signal.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "duet/segmenter/v1/segmenter.grpc.pb.h"
#include "tests/testing/redis_server.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/subprocess.h"
#include "tests/testing/temp_dir.h"

namespace segmenter {
namespace {

namespace pb = duet::segmenter::v1;
using duet_testing::IntField;
using duet_testing::RedisServer;
using duet_testing::Subprocess;
using testing::HasSubstr;
using testing::Not;

const std::string kData = std::string(DUET_TEST_DATA) + "/segmenter/";

std::vector<std::string> Command(const std::string& checkpoint,
                                 const std::vector<std::string>& more = {}) {
  std::vector<std::string> command = {DUET_SEGMENTER, "--checkpoint=" + checkpoint, "--port=0",
                                      "--metrics_port=0", "--threads=2"};
  command.insert(command.end(), more.begin(), more.end());
  return command;
}

std::unique_ptr<pb::Segmenter::Stub> StubOf(int port) {
  return pb::Segmenter::NewStub(
      grpc::CreateChannel("127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials()));
}

// What Embed answers for an image of the fixtures.
pb::EmbedResponse Embed(int port, const std::string& image) {
  const auto stub = StubOf(port);
  grpc::ClientContext call;
  pb::EmbedRequest request;
  request.mutable_image()->set_data(duet_testing::ReadFile(kData + image));
  pb::EmbedResponse response;
  const grpc::Status status = stub->Embed(&call, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response;
}

TEST(SegmenterStartupTest, ServesAndDrains) {
  Subprocess segmenter(Command(kData + "sam_a.pth"));

  ASSERT_OK_AND_ASSIGN(const std::string line, segmenter.WaitForLine("\"event\":\"serving\""));
  EXPECT_FALSE(Embed(IntField(line, "port"), "a0.png").cached());
  EXPECT_TRUE(Embed(IntField(line, "port"), "a0.png").cached());
  segmenter.Signal(SIGTERM);
  EXPECT_EQ(segmenter.Wait(), 0);
  EXPECT_THAT(segmenter.err(), HasSubstr("\"event\":\"model.ready\""));
}

TEST(SegmenterStartupTest, ReplicasFindEachOthersEmbeddingsForAsLongAsTheFlagSays) {
  RedisServer redis;
  const auto command = Command(
      kData + "sam_a.pth", {"--embedding_store=" + redis.url(), "--embedding_store_ttl_s=3600"});
  Subprocess first(command), second(command);
  ASSERT_OK_AND_ASSIGN(const std::string line, first.WaitForLine("\"event\":\"serving\""));
  ASSERT_OK_AND_ASSIGN(const std::string other, second.WaitForLine("\"event\":\"serving\""));

  const pb::EmbedResponse embedded = Embed(IntField(line, "port"), "a0.png");

  const std::string key = redis.AwaitKey();
  EXPECT_THAT(key, HasSubstr(embedded.image_id()));
  EXPECT_LE(redis.TimeToLive(key), absl::Hours(1));
  EXPECT_GT(redis.TimeToLive(key), absl::Minutes(50));
  EXPECT_TRUE(Embed(IntField(other, "port"), "a0.png").cached());
}

TEST(SegmenterStartupTest, EmbeddingsInAFolderOutliveTheProcess) {
  const duet_testing::TempDir dir;
  const auto command =
      Command(kData + "sam_a.pth", {"--embedding_store=file://" + dir.path() + "/kept"});
  {
    Subprocess first(command);
    ASSERT_OK_AND_ASSIGN(const std::string line, first.WaitForLine("\"event\":\"serving\""));
    EXPECT_FALSE(Embed(IntField(line, "port"), "a0.png").cached());
    first.Signal(SIGTERM);
    EXPECT_EQ(first.Wait(), 0);
  }
  Subprocess second(command);
  ASSERT_OK_AND_ASSIGN(const std::string line, second.WaitForLine("\"event\":\"serving\""));

  EXPECT_TRUE(Embed(IntField(line, "port"), "a0.png").cached());
}

TEST(SegmenterStartupTest, WhoAsksForItToBeKeptFindsTheFileBehindTheAnswer) {
  const duet_testing::TempDir dir;
  Subprocess keeping(Command(kData + "sam_a.pth",
                             {"--embedding_store=file://" + dir.path(), "--embedding_store_mb=7"}));
  Subprocess forgetting(Command(kData + "sam_a.pth"));
  ASSERT_OK_AND_ASSIGN(const std::string line, keeping.WaitForLine("\"event\":\"serving\""));
  ASSERT_OK_AND_ASSIGN(const std::string other, forgetting.WaitForLine("\"event\":\"serving\""));
  const auto keeps = StubOf(IntField(line, "port"));
  const auto forgets = StubOf(IntField(other, "port"));
  pb::EmbedRequest request;
  request.mutable_image()->set_data(duet_testing::ReadFile(kData + "a0.png"));
  request.set_rank(pb::EMBED_RANK_STOCK);
  request.set_keep(true);

  pb::GetModelResponse model;
  grpc::ClientContext asking;
  ASSERT_TRUE(keeps->GetModel(&asking, {}, &model).ok());
  pb::EmbedResponse embedded;
  grpc::ClientContext embedding;
  ASSERT_TRUE(keeps->Embed(&embedding, request, &embedded).ok());
  pb::EmbedResponse refused;
  grpc::ClientContext refusing;
  const grpc::Status status = forgets->Embed(&refusing, request, &refused);
  pb::GetModelResponse forgetful;
  grpc::ClientContext asking_again;
  ASSERT_TRUE(forgets->GetModel(&asking_again, {}, &forgetful).ok());

  const std::string& id = embedded.image_id();
  const std::string file =
      dir.path() + "/" + model.encoder() + "/" + id.substr(0, 2) + "/" + id + ".embedding";
  EXPECT_EQ(std::filesystem::file_size(file), model.embedding_bytes());
  EXPECT_EQ(embedded.kept_bytes(), model.embedding_bytes());
  EXPECT_EQ(model.embedding_store().budget_bytes(), 7U << 20);
  EXPECT_EQ(model.embedding_store().kept_for_s(), 0U);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_THAT(status.error_message(), HasSubstr("needed: one with --embedding_store="));
  EXPECT_FALSE(forgetful.has_embedding_store());
  EXPECT_EQ(forgetful.encoder(), model.encoder());
}

TEST(SegmenterStartupTest, WhatItCannotServeIsOneLineAndExitCodeOne) {
  const duet_testing::TempDir dir;
  std::string damaged = duet_testing::ReadFile(kData + "sam_a.pth");
  damaged.resize(damaged.size() / 2);
  const struct {
    std::vector<std::string> command;
    std::string message;  // part of it
  } refusals[] = {
      {Command(dir.path() + "/none.pth"), "none.pth: "},
      {Command(dir.Write("half.pth", damaged)), "half.pth: "},
      {Command(std::string(DUET_TEST_DATA) + "/detector/tiny.pth"), "duet-detector"},
      {Command(kData + "sam_a.pth", {"--embedding_store=http://x"}), "--embedding_store: "},
      {Command(kData + "sam_a.pth", {"--hq_token_only"}), "--hq_token_only needs an HQ-SAM"},
  };
  for (const auto& refusal : refusals) {
    Subprocess segmenter(refusal.command);
    EXPECT_EQ(segmenter.Wait(), 1) << refusal.message;
    EXPECT_THAT(segmenter.err(), HasSubstr("\"event\":\"startup.failed\""));
    EXPECT_THAT(segmenter.err(), HasSubstr(refusal.message));
    EXPECT_THAT(segmenter.err(), Not(HasSubstr("\"event\":\"serving\"")));
  }
}

}  // namespace
}  // namespace segmenter
