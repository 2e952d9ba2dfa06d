#include "gateway/options.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "serving/cpu.h"
#include "tests/testing/log_capture.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace gateway {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// The options that these flags give.
absl::StatusOr<Options> Parse(std::vector<const char*> flags) {
  Options options;
  serving::FlagTable table("duet-gateway", "");
  AddFlags(&options, &table);
  flags.insert(flags.begin(), "duet-gateway");
  absl::Status status = table.Parse(static_cast<int>(flags.size()), flags.data(),
                                    [](const char*) -> const char* { return nullptr; });
  if (status.ok()) status = Check(options);
  if (!status.ok()) return status;
  return options;
}

TEST(OptionsTest, LabelStudiosAddressesAreBroughtIntoOneForm) {
  ASSERT_OK_AND_ASSIGN(const Options options,
                       Parse({"--label_studio_url=HTTP://Studio:80/ls/",
                              "--label_studio_alias=http://localhost:8080/,https://public:443/x"}));

  EXPECT_EQ(options.app.label_studio.url, "http://studio/ls");
  EXPECT_THAT(options.app.label_studio.aliases,
              ElementsAre("http://localhost:8080", "https://public/x"));
}

TEST(OptionsTest, WhatTrainingsNeedIsSaid) {
  constexpr char kRoot[] = "--model_root=/models";
  constexpr char kUrl[] = "--label_studio_url=http://studio";
  constexpr char kToken[] = "--label_studio_api_key=0123";
  constexpr char kTrainer[] = "--trainer=trainer:50053";
  constexpr char kEvery[] = "--train_every=50";
  EXPECT_THAT(Parse({kTrainer, kUrl, kRoot, kToken, kEvery}), IsOk());
  EXPECT_THAT(Parse({kTrainer, kUrl, kRoot}), IsOk());
  EXPECT_THAT(Parse({kRoot}), IsOk()) << "what serves is followed without a trainer, too";
  const auto lacks = [](std::vector<const char*> flags, const char* what) {
    EXPECT_THAT(Parse(std::move(flags)),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(what)));
  };
  lacks({kTrainer, kUrl}, "--trainer is given without --model_root");
  lacks({kTrainer, kRoot}, "--trainer is given without --label_studio_url");
  lacks({kEvery, kUrl, kToken, kRoot}, "--train_every is given without --trainer");
  lacks({kEvery, kTrainer, kUrl, kRoot}, "--train_every is given without --label_studio_api_key");
}

// Who trusts addresses alone should know whose they may be.
TEST(OptionsTest, TrainingsWithoutAPasswordAreWarnedOfBeyondLoopback) {
  const auto lines = [](std::vector<const char*> flags, const std::string& event) {
    for (const char* flag :
         {"--model_root=/models", "--label_studio_url=http://studio", "--trainer=trainer:50053"}) {
      flags.insert(flags.begin(), flag);
    }
    const auto options = Parse(std::move(flags));
    EXPECT_THAT(options, IsOk());
    duet_testing::LogCapture log;
    WarnOfTrainings(*options);
    return log.lines(event).size();
  };
  EXPECT_EQ(lines({"--bind=0.0.0.0"}, "trainings.open"), 1U);
  EXPECT_EQ(lines({"--bind=127.0.0.1"}, "trainings.open"), 0U);
  EXPECT_EQ(lines({"--bind=0.0.0.0", "--basic_auth_user=ann", "--basic_auth_password=x"},
                  "trainings.open"),
            0U);
  EXPECT_EQ(lines({}, "trainings.without_token"), 1U);
  EXPECT_EQ(lines({"--label_studio_api_key=0123"}, "trainings.without_token"), 0U);
  EXPECT_EQ(lines({"--model_root=/no/such/folder"}, "trainings.unwritable"), 1U);
  EXPECT_EQ(lines({"--model_root=/tmp"}, "trainings.unwritable"), 0U);
}

TEST(OptionsTest, TheFetcherHoldsTheLimitOnPixels) {
  ASSERT_OK_AND_ASSIGN(const Options usual, Parse({}));
  EXPECT_EQ(FetcherOptions(usual).max_pixels, 100'000'000);
  ASSERT_OK_AND_ASSIGN(const Options large, Parse({"--max_image_megapixels=2000"}));
  EXPECT_EQ(FetcherOptions(large).max_pixels, 2'000'000'000);
}

TEST(OptionsTest, BackgroundTakesTheTextsOfTheSetting) {
  ASSERT_OK_AND_ASSIGN(const Options none, Parse({}));
  EXPECT_EQ(none.background, prelabel::Background::kNone);
  ASSERT_OK_AND_ASSIGN(const Options push, Parse({"--background=push"}));
  EXPECT_EQ(push.background, prelabel::Background::kPush);
  EXPECT_THAT(Parse({"--background=later"}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "--background=later: must be one of none, push"));
}

TEST(OptionsTest, LimitsAreInBytesAndTimesInTheirUnits) {
  ASSERT_OK_AND_ASSIGN(
      const Options options,
      Parse({"--max_body_mb=3", "--request_memory_mb=5", "--max_answer_mb=7",
             "--predict_deadline_s=11", "--max_message_mb=13", "--image_cache_mb=17"}));
  EXPECT_EQ(options.http.max_body_bytes, 3u << 20);
  EXPECT_EQ(options.http.request_memory_bytes, 5u << 20);
  EXPECT_EQ(options.app.max_answer_bytes, 7u << 20);
  EXPECT_EQ(options.app.predict_deadline, std::chrono::seconds(11));
  EXPECT_EQ(LoadGrpcOptions(options)->max_message_bytes, 13 << 20);
  EXPECT_EQ(FetcherOptions(options).max_bytes, 12 << 20) << "the message holds more than the image";
  EXPECT_EQ(FetcherOptions(options).cache_bytes, 17 << 20);
}

TEST(OptionsTest, ByDefaultEverySecondCpuServesSockets) {
  ASSERT_OK_AND_ASSIGN(const Options options, Parse({}));
  EXPECT_EQ(options.io_threads, std::max(1, serving::ReadCpuBudget().threads() / 2));
  ASSERT_OK_AND_ASSIGN(const Options chosen, Parse({"--io_threads=3"}));
  EXPECT_EQ(chosen.io_threads, 3);
}

TEST(OptionsTest, ATokenWithoutAnAddressIsRefusedAloud) {
  EXPECT_THAT(Parse({"--label_studio_api_key=s3cret"}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("--label_studio_url"), Not(HasSubstr("s3cret")))));
  EXPECT_THAT(Parse({"--label_studio_alias=http://localhost"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--label_studio_url")));
  EXPECT_THAT(Parse({"--label_studio_url=http://studio"}), IsOk());
}

TEST(OptionsTest, AnAddressThatIsNoneIsNamedWithoutItsPassword) {
  for (const char* flag : {"--label_studio_url=localhost:8080", "--label_studio_url=ftp://studio",
                           "--label_studio_url=http://ann:s3cret@studio",
                           "--label_studio_url=http://studio/?x=1", "--label_studio_url=http://"}) {
    EXPECT_THAT(Parse({flag}), StatusIs(absl::StatusCode::kInvalidArgument,
                                        AllOf(HasSubstr("--label_studio_url"), HasSubstr("needed"),
                                              Not(HasSubstr("s3cret")))))
        << flag;
  }
}

TEST(OptionsTest, SecretsComeFromFlagsOrFilesNotFromBoth) {
  const duet_testing::TempDir dir;
  const std::string token = "--label_studio_api_key_file=" + dir.Write("token", "from-a-file\n");
  const std::string password = "--basic_auth_password_file=" + dir.Write("password", "pa ss\n");

  ASSERT_OK_AND_ASSIGN(const Options options,
                       Parse({"--label_studio_url=http://studio", token.c_str(),
                              "--basic_auth_user=ann", password.c_str()}));

  EXPECT_EQ(options.app.label_studio.token->value(), "from-a-file");
  EXPECT_EQ(options.app.basic_auth_password->value(), "pa ss");
  EXPECT_THAT(
      Parse({"--label_studio_url=http://studio", token.c_str(), "--label_studio_api_key=other"}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("one of them")));
  EXPECT_THAT(Parse({"--basic_auth_user=ann", "--basic_auth_password_file=/nonexistent"}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("--basic_auth_password_file"), HasSubstr("/nonexistent"))));
  EXPECT_THAT(Parse({"--basic_auth_user=ann"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("go together")));
}

}  // namespace
}  // namespace gateway
