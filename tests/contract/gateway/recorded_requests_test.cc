// What a real Label Studio 1.23.2 sent (tests/data/label_studio), replayed against a gateway whose
// images come from a Label Studio of two routes.
#include <absl/strings/escaping.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include "tests/integration/gateway/fake_services.h"
#include "tests/integration/gateway/harness.h"

namespace gateway::testing {
namespace {

namespace json = boost::json;

std::string Recorded(const std::string& name) {
  std::ifstream file(std::string(DUET_TEST_DATA) + "/label_studio/" + name + ".json");
  std::stringstream content;
  content << file.rdbuf();
  EXPECT_TRUE(file) << name;
  return content.str();
}

// Serves one image under every upload path, to those who show the token.
class TinyLabelStudio {
 public:
  TinyLabelStudio() {
    const std::string uri = PngDataUri(320, 240);
    absl::Base64Unescape(uri.substr(uri.find(',') + 1), &image_);
    router_.AddQuick(
        boost::beast::http::verb::get, "/data/upload/{project}/{file}",
        [this](const http::Request& request, http::Context&) {
          if (request.Header("Authorization") != "Token 0123456789abcdef0123456789abcdef01234567") {
            return http::ErrorResponse(401, "no token");
          }
          return http::Response{.body = image_, .content_type = "image/png"};
        });
    server_ = *http::Server::Start(io_, router_, {});
    thread_ = std::thread([this] { io_.run(); });
  }
  ~TinyLabelStudio() {
    server_->Drain(std::chrono::seconds(5));
    io_.stop();
    thread_.join();
  }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(server_->port()); }

 private:
  std::string image_;
  boost::asio::io_context io_;
  http::Router router_;
  std::unique_ptr<http::Server> server_;
  std::thread thread_;
};

class RecordedRequestsTest : public ::testing::Test {
 protected:
  RecordedRequestsTest()
      : gateway_({.detector = services_.address(),
                  .segmenter = services_.address(),
                  .gateway = {.label_studio = {.url = label_studio_.url(),
                                               .token = std::make_shared<serving::Secret>(
                                                   "0123456789abcdef0123456789abcdef01234567")}}}) {
    gateway_.AwaitModels();
  }

  json::value Predict(const std::string& recording) {
    const Reply reply = gateway_.Send("POST", "/predict", Recorded(recording));
    EXPECT_EQ(reply.status, 200) << reply.body;
    return reply.json();
  }

  // What Label Studio checks when it validates predictions (protocol notes in
  // docs/label_studio.md).
  static void ExpectStorable(const json::value& prediction, const std::string& model_version) {
    EXPECT_EQ(prediction.at("model_version").as_string(), boost::json::string_view(model_version));
    const double score = prediction.at("score").to_number<double>();
    EXPECT_TRUE(score >= 0 && score <= 1) << score;
    std::set<std::string> ids;
    for (const json::value& region : prediction.at("result").as_array()) {
      EXPECT_TRUE(ids.insert(std::string(region.at("id").as_string())).second)
          << "ids are unique in a task";
      for (const char* key :
           {"from_name", "to_name", "type", "value", "original_width", "original_height"}) {
        EXPECT_TRUE(region.as_object().contains(key)) << key;
      }
      const json::object& value = region.at("value").as_object();
      for (const char* key : {"x", "y", "width", "height"}) {
        if (!value.contains(key)) continue;
        const double percent = value.at(key).to_number<double>();
        EXPECT_TRUE(percent >= 0 && percent <= 100) << key << " = " << percent;
      }
    }
  }

  std::string SetUp1() {
    const Reply reply = gateway_.Send("POST", "/setup", Recorded("setup"));
    EXPECT_EQ(reply.status, 200) << reply.body;
    return std::string(reply.json().at("model_version").as_string());
  }

  FakeServices services_;
  TinyLabelStudio label_studio_;
  Harness gateway_;
};

TEST_F(RecordedRequestsTest, ABatchGetsOnePredictionATaskInTheSetupsVersion) {
  const std::string version = SetUp1();

  const json::value answer = Predict("predict_batch");

  const json::array& results = answer.at("results").as_array();
  ASSERT_EQ(results.size(), 3u);
  for (const json::value& prediction : results) {
    ExpectStorable(prediction, version);
    // One rectangle and one brush an object, none of it in the smart controls.
    std::set<std::string> controls;
    for (const json::value& region : prediction.at("result").as_array()) {
      controls.insert(std::string(region.at("from_name").as_string()));
    }
    EXPECT_EQ(controls, (std::set<std::string>{"rect", "brush"}));
  }
}

TEST_F(RecordedRequestsTest, AnOpenedTaskIsAnsweredAlike) {
  const std::string version = SetUp1();

  const json::value answer = Predict("predict_opened_task");

  ASSERT_EQ(answer.at("results").as_array().size(), 1u);
  ExpectStorable(answer.at("results").at(0), version);
}

TEST_F(RecordedRequestsTest, ClicksAndARectangleAreAnsweredWithOneMask) {
  for (const char* recording : {"predict_keypoints", "predict_rectangle"}) {
    // The project's label config had changed since the recorded /setup.
    json::object setup = json::parse(Recorded("setup")).as_object();
    setup["schema"] = json::parse(Recorded(recording)).at("label_config");
    const Reply announced = gateway_.Post("/setup", setup);
    const std::string version(announced.json().at("model_version").as_string());
    const json::value answer = Predict(recording);
    ASSERT_EQ(answer.at("results").as_array().size(), 1u) << recording;
    ExpectStorable(answer.at("results").at(0), version);
    ASSERT_EQ(answer.at("results").at(0).at("result").as_array().size(), 1u) << recording;
    EXPECT_EQ(answer.at("results").at(0).at("result").at(0).at("type"), "brushlabels") << recording;
  }
}

TEST_F(RecordedRequestsTest, WebhooksGet200) {
  for (const char* recording :
       {"webhook_annotation_created", "webhook_annotations_deleted", "webhook_start_training"}) {
    EXPECT_EQ(gateway_.Send("POST", "/webhook", Recorded(recording)).status, 200) << recording;
  }
}

}  // namespace
}  // namespace gateway::testing
