// Who reaches what, and whose token goes where: the table of docs/security.md, over real sockets.
#include <absl/strings/escaping.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>
#include <mutex>
#include <thread>

#include "tests/integration/gateway/fake_label_studio.h"
#include "tests/integration/gateway/gateway_test.h"
#include "tests/testing/log_capture.h"
#include "tests/testing/temp_dir.h"

namespace gateway::testing {
namespace {

namespace json = boost::json;
using duet_testing::TinyHttpServer;
using duet_testing::TinyRequest;
using duet_testing::TinyResponse;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr char kRectangles[] = R"(<View><Image name="image" value="$image"/>
  <RectangleLabels name="rect" toName="image"><Label value="cat"/></RectangleLabels></View>)";
constexpr char kSmart[] = R"(<View><Image name="image" value="$image"/>
  <KeyPointLabels name="point" toName="image" smart="true"><Label value="cat"/></KeyPointLabels></View>)";

template <typename Condition>
void Await(const Condition& condition) {
  while (!condition()) std::this_thread::yield();
}

// A server with one image everywhere, which keeps what it was asked: "TARGET AUTHORIZATION".
class ImageServer {
 public:
  std::string url() const { return server_.url(); }
  int port() const { return server_.port(); }
  int connections() const { return server_.connections(); }
  std::vector<std::string> seen() const {
    const std::lock_guard lock(mutex_);
    return seen_;
  }

 private:
  TinyResponse Answer(const TinyRequest& request) {
    const std::lock_guard lock(mutex_);
    const auto found = request.headers.find("authorization");
    seen_.push_back(request.target + " " + (found == request.headers.end() ? "-" : found->second));
    return {200, {}, image_};
  }

  const std::string image_ = DecodedDataUri(PngDataUri(320, 240));
  mutable std::mutex mutex_;
  std::vector<std::string> seen_;  // guarded by mutex_
  TinyHttpServer server_{[this](const auto& request) { return Answer(request); }};
};

std::shared_ptr<const serving::Secret> Token(const std::string& value) {
  return std::make_shared<serving::Secret>(value);
}

class TrustTest : public GatewayTest {
 protected:
  // The operator named `url`, with the token "operators".
  Harness& StartNamed(const std::string& url, std::vector<std::string> aliases = {}) {
    HarnessOptions options;
    options.gateway.label_studio = {
        .url = url, .aliases = std::move(aliases), .token = Token("operators")};
    return Start(std::move(options));
  }
  int SetUpProject(const std::string& hostname, const std::string& token = "setups",
                   const std::string& project = "1.1795395253", const json::object& extra = {}) {
    return harness_
        ->Post("/setup", {{"project", project},
                          {"schema", kRectangles},
                          {"hostname", hostname},
                          {"access_token", token},
                          {"extra_params", extra}})
        .status;
  }
  Reply Predict(const std::string& uri, const std::string& project = "1.1795395253") {
    json::value body = PredictBody(kRectangles, {uri});
    body.at("project") = project;
    return harness_->Post("/predict", body);
  }

  ImageServer inner_;  // at a private address, as all servers of a test are
};

// ---- What an unauthenticated /setup teaches.

TEST_F(TrustTest, AHostnameOfSetupIsHeldToTheAddressPolicy) {
  Start();
  const std::string port = std::to_string(inner_.port());
  for (const std::string& hostname :
       {inner_.url(), inner_.url() + "/", "HTTP://127.0.0.1:" + port, "http://localhost:" + port,
        "http://[::ffff:127.0.0.1]:" + port, "http://127.1:" + port, "http://2130706433:" + port,
        inner_.url() + "/label-studio"}) {
    ASSERT_EQ(SetUpProject(hostname), 200) << hostname;
    for (const char* uri : {"/data/upload/1/a.jpg", "/a.jpg", "s3://bucket/a.jpg"}) {
      const Reply reply = Predict(uri);
      EXPECT_GE(reply.status, 400) << reply.body;
      EXPECT_THAT(reply.body, AllOf(HasSubstr("private address"), HasSubstr("--label_studio_url=")))
          << hostname << " " << uri;
    }
  }
  EXPECT_EQ(inner_.connections(), 0);
}

TEST_F(TrustTest, ATaskThatNamesTheHostOfSetupIsRefusedToo) {
  Start();
  SetUpProject(inner_.url());

  EXPECT_THAT(Predict(inner_.url() + "/data/upload/1/a.jpg").body, HasSubstr("private address"));
  EXPECT_THAT(Predict(inner_.url() + "/latest/meta-data").body, HasSubstr("private address"));
  EXPECT_EQ(inner_.connections(), 0);
}

TEST_F(TrustTest, WhereThePolicyAllowsItSetupsTokenGoesToSetupsHost) {
  Start({.allowed_private = {"127.0.0.1:" + std::to_string(inner_.port())}});
  SetUpProject(inner_.url(), "setups");

  EXPECT_EQ(Predict("/data/upload/1/a.jpg").status, 200);
  EXPECT_THAT(inner_.seen(), ElementsAre("/data/upload/1/a.jpg Token setups"));
}

TEST_F(TrustTest, OneProjectsTokenIsNotAnothers) {
  Start({.allowed_private = {"127.0.0.1:" + std::to_string(inner_.port())}});
  SetUpProject(inner_.url(), "first", "1");
  SetUpProject(inner_.url(), "second", "2");

  EXPECT_EQ(Predict("/data/upload/1/a.jpg", "2").status, 200);
  EXPECT_THAT(Predict("/data/upload/1/a.jpg", "3").body, HasSubstr("--label_studio_url"));
  EXPECT_THAT(inner_.seen(), ElementsAre("/data/upload/1/a.jpg Token second"));
}

TEST_F(TrustTest, AHostnameThatIsNoneIsLeftOutAndSaid) {
  duet_testing::LogCapture log;
  Start();
  for (const std::string& hostname :
       {std::string("studio:8080"), std::string("file:///etc/passwd"), std::string("ftp://studio"),
        std::string("http://ann:pass@studio"), "http://" + std::string(5'000, 'x')}) {
    EXPECT_EQ(SetUpProject(hostname), 200) << hostname.substr(0, 40);
    const Reply reply = Predict("/data/upload/1/a.jpg");
    EXPECT_THAT(reply.body, HasSubstr("start the gateway with --label_studio_url"));
  }
  harness_.reset();  // a line is written after its answer
  int said = 0;
  for (const std::string& line : log.lines("http.done")) {
    said += line.find("needed: http(s)://HOST") != std::string::npos ? 1 : 0;
    EXPECT_LT(line.size(), 2000u);
    EXPECT_THAT(line, Not(HasSubstr("ann:pass")));
    EXPECT_THAT(line, Not(HasSubstr("setups"))) << "the token";
  }
  EXPECT_EQ(said, 5);
}

TEST_F(TrustTest, ACopiedProjectIsNoMoreTrustedThanItsModel) {
  Start();
  SetUpProject(inner_.url(), "setups", "1");
  EXPECT_EQ(harness_->Post("/duplicate_model", {{"project_src", "1"}, {"project_dst", "2"}}).status,
            200);

  EXPECT_THAT(Predict("/data/upload/1/a.jpg", "2").body, HasSubstr("--label_studio_url"));

  EXPECT_EQ(harness_->Post("/delete", {{"project", "2"}}).status, 200);
  EXPECT_THAT(Predict("/data/upload/1/a.jpg", "2").body, HasSubstr("address is not known"));
  EXPECT_EQ(inner_.connections(), 0);
}

TEST_F(TrustTest, SettingsAndProjectIdsOfSetupAreBounded) {
  Start();
  json::object label_map;
  for (int i = 0; i < 20'000; ++i) label_map["class " + std::to_string(i)] = std::string(100, 'x');
  EXPECT_EQ(SetUpProject("", "", "1", {{"label_map", label_map}}), 400);
  EXPECT_EQ(SetUpProject("", "", std::string(1000, '1')), 400);
  EXPECT_EQ(Predict(PngDataUri(320, 240), std::string(1000, '1')).status, 400);
}

// ---- The operator's address and token.

TEST_F(TrustTest, TheOperatorsTokenGoesToTheOperatorsAddressWhateverSetupSays) {
  ImageServer theirs;
  StartNamed(inner_.url());
  SetUpProject(theirs.url());

  EXPECT_EQ(Predict("/data/upload/1/a.jpg").status, 200);
  EXPECT_EQ(Predict(theirs.url() + "/data/upload/1/b.jpg").status, 200) << "another name of it";
  EXPECT_GE(Predict(theirs.url() + "/pictures/c.jpg").status, 400) << "not Label Studio's own";

  EXPECT_EQ(theirs.connections(), 0);
  EXPECT_THAT(inner_.seen(), ElementsAre("/data/upload/1/a.jpg Token operators",
                                         "/data/upload/1/b.jpg Token operators"));
}

TEST_F(TrustTest, AnAliasOfTheOperatorsNeedsNoSetup) {
  StartNamed(inner_.url(), {"http://labels.invalid:8080/label-studio"});

  EXPECT_EQ(Predict("http://labels.invalid:8080/label-studio/data/local-files/?d=a.jpg").status,
            200);
  EXPECT_EQ(Predict("/label-studio/data/upload/1/a.jpg").status, 200);

  EXPECT_THAT(inner_.seen(), ElementsAre("/data/local-files/?d=a.jpg Token operators",
                                         "/data/upload/1/a.jpg Token operators"));
}

TEST_F(TrustTest, TheSpellingsOfAnAddressGetNoMoreThanTheAddress) {
  StartNamed(inner_.url());
  const std::string port = std::to_string(inner_.port());
  for (const std::string& uri :
       {"http://localhost:" + port + "/data/x", "http://127.0.0.1.:" + port + "/data/x",
        "http://127.1:" + port + "/data/x", "http://[::ffff:127.0.0.1]:" + port + "/data/x",
        "http://ann:pw@127.0.0.1:" + port + "/data/x"}) {
    EXPECT_GE(Predict(uri).status, 400) << uri;
  }
  EXPECT_EQ(inner_.connections(), 0);
}

TEST_F(TrustTest, ATaskCannotTurnTheTokenOnTheApi) {
  StartNamed(inner_.url());

  Predict("/api/projects/1/export?exportType=JSON");
  Predict("/data/%2e%2e/api/current-user/whoami");
  Predict(inner_.url() + "/user/logout");

  EXPECT_THAT(inner_.seen(), AllOf(SizeIs(3), Each(::testing::EndsWith(" -"))));
}

TEST_F(TrustTest, ARotatedTokenIsTheNextOneThatGoes) {
  const duet_testing::TempDir dir;
  std::atomic<int> hour = 0;
  HarnessOptions options;
  options.gateway.label_studio = {
      .url = inner_.url(),
      .token = *serving::Secret::FromFile(dir.Write("token", "old\n"), [&hour] {
        return absl::UnixEpoch() + hour.load() * absl::Hours(1);
      })};
  Start(std::move(options));
  Predict("/data/upload/1/a.jpg");

  dir.Write("token", "new\n");
  ++hour;
  Predict("/data/upload/1/b.jpg");

  EXPECT_THAT(inner_.seen(),
              ElementsAre("/data/upload/1/a.jpg Token old", "/data/upload/1/b.jpg Token new"));
}

TEST_F(TrustTest, ARotatedPasswordIsAskedForAtOnce) {
  const duet_testing::TempDir dir;
  std::atomic<int> hour = 0;
  HarnessOptions options;
  options.gateway.basic_auth_user = "ann";
  options.gateway.basic_auth_password = *serving::Secret::FromFile(
      dir.Write("password", "old\n"),
      [&hour] { return absl::UnixEpoch() + hour.load() * absl::Hours(1); });
  Harness& gateway = Start(std::move(options));
  const auto with = [&](const std::string& credentials) {
    return gateway
        .Send("GET", "/versions", "",
              {{"Authorization", "Basic " + absl::Base64Escape(credentials)}})
        .status;
  };
  EXPECT_EQ(with("ann:old"), 200);

  dir.Write("password", "new\n");
  ++hour;

  EXPECT_EQ(with("ann:old"), 401);
  EXPECT_EQ(with("ann:new"), 200);
}

// ---- What nobody waits for: pushed predictions, prefetched images.

TEST_F(TrustTest, NothingIsPrefetchedFromAPrivateHostOfSetup) {
  duet_testing::LogCapture log;
  FakeLabelStudio studio;
  studio.label_config = kSmart;
  HarnessOptions options;
  options.gateway.prefetch.click_wait = std::chrono::milliseconds(0);
  Start(std::move(options));
  SetUpProject(studio.url(), FakeLabelStudio::kToken);

  EXPECT_EQ(harness_->Post("/predict", PredictBody(kSmart, {PngDataUri(32, 24)})).status, 200);
  Await([&] { return !log.lines("prefetch.failed").empty(); });

  EXPECT_THAT(log.lines("prefetch.failed")[0], HasSubstr("PERMISSION_DENIED"));
  EXPECT_EQ(studio.requests(), 0);
}

TEST_F(TrustTest, NothingIsPushedToAPrivateHostOfSetup) {
  FakeLabelStudio studio;
  HarnessOptions options;
  options.settings.background = prelabel::Background::kPush;
  options.gateway.predict_deadline = std::chrono::milliseconds(0);  // all is left for the job
  Harness& gateway = Start(std::move(options));
  SetUpProject(studio.url(), FakeLabelStudio::kToken);

  gateway.Post("/predict", PredictBody(kRectangles, {PngDataUri(32, 24), PngDataUri(32, 24, 1)}));
  const auto job = [&] { return gateway.Get("/jobs").json().at("jobs").at(0); };
  Await([&] { return job().at("state") == "failed"; });

  EXPECT_THAT(std::string(job().at("error").as_string()),
              HasSubstr("--label_studio_url=" + studio.url()));
  EXPECT_EQ(studio.requests(), 0);
}

TEST_F(TrustTest, WhereThePolicyAllowsItPredictionsArePushedWithSetupsToken) {
  FakeLabelStudio studio;
  HarnessOptions options;
  options.settings.background = prelabel::Background::kPush;
  options.gateway.predict_deadline = std::chrono::milliseconds(0);
  options.allowed_private = {"127.0.0.0/8"};
  Harness& gateway = Start(std::move(options));
  SetUpProject(studio.url(), FakeLabelStudio::kToken);

  gateway.Post("/predict", PredictBody(kRectangles, {PngDataUri(32, 24), PngDataUri(32, 24, 1)}));

  Await([&] { return studio.prediction_count() == 2; });
}

}  // namespace
}  // namespace gateway::testing
