// The gateway as clients of older versions see it: Label Studio 1.0 to 1.4 (its
// ml/api_connector.py: every call but health is a POST with JSON, an answer of 4xx or 5xx is an
// error, any other has to be JSON), and what label-studio-ml 1.0.9 (its api.py) and the servers
// before it answered.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/integration/gateway/fake_services.h"
#include "tests/integration/gateway/harness.h"

namespace gateway::testing {
namespace {

namespace json = boost::json;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kConfig[] = R"(<View><Image name="image" value="$image"/>
  <RectangleLabels name="rect" toName="image"><Label value="cat"/></RectangleLabels>
  <Brush name="brush" toName="image"/><Labels name="what" toName="image"><Label value="cat"/></Labels>
  <Choices name="other" toName="image"><Choice value="a"/></Choices></View>)";
constexpr char kProject[] = "1.1654592272";

class OlderVersionsTest : public ::testing::Test {
 protected:
  OlderVersionsTest()
      : gateway_({.detector = services_.address(), .segmenter = services_.address()}) {
    gateway_.AwaitModels();
  }

  // MLApi._request of Label Studio: raise_for_status, then json().
  json::value Call(const std::string& path, const json::value& request) {
    const Reply reply = gateway_.Post("/" + path, request);
    EXPECT_LT(reply.status, 400) << path << ": " << reply.body;
    return reply.json();
  }

  FakeServices services_;
  Harness gateway_;
};

TEST_F(OlderVersionsTest, BothHealthAddressesAreUp) {
  EXPECT_EQ(gateway_.Get("/health").json().at("status"), "UP");
  EXPECT_EQ(gateway_.Get("/").json().at("status"), "UP");
}

TEST_F(OlderVersionsTest,
       SetupTakesTheKeysOfBeforeAndPredictAnswersWithTheVersionBesideTheResults) {
  const json::value setup = Call("setup", {{"project", kProject},
                                           {"schema", kConfig},
                                           {"hostname", "http://localhost:8080"},
                                           {"access_token", std::string(40, '1')},
                                           {"force_reload", false},
                                           {"model_version", nullptr}});

  json::value request = PredictBody(kConfig, {PngDataUri(320, 240), PngDataUri(320, 240, 7)});
  request.as_object()["project"] = kProject;
  request.as_object()["model_version"] = setup.at("model_version");
  request.as_object()["force_reload"] = false;
  request.as_object()["try_fetch"] = true;
  const json::value predictions = Call("predict", request);

  EXPECT_EQ(predictions.at("model_version"), setup.at("model_version"));
  ASSERT_EQ(predictions.at("results").as_array().size(), 2u);
  for (const json::value& one : predictions.at("results").as_array()) {
    EXPECT_FALSE(one.at("result").as_array().empty());
    EXPECT_TRUE(one.at("score").is_number());
    EXPECT_EQ(one.at("model_version"), setup.at("model_version"));
  }
}

TEST_F(OlderVersionsTest, TrainCreatesNoJobAndSaysSo) {
  const json::value task = {{"id", 1}, {"data", {{"image", "a.jpg"}}}, {"annotations", {}}};
  const Reply reply = gateway_.Post("/train", {{"annotations", {task}},
                                               {"project", kProject},
                                               {"label_config", kConfig},
                                               {"params", {{"login", ""}, {"password", ""}}}});

  EXPECT_EQ(reply.status, 201) << "as without a job queue";
  EXPECT_TRUE(reply.json().at("job").is_null()) << "nothing for /job_status to ask about";
  EXPECT_EQ(reply.json().at("status"), "not trained");
  EXPECT_THAT(reply.body, HasSubstr("does not train on request"));
  // As a webhook, with the whole project.
  EXPECT_EQ(gateway_.Post("/train", {{"project", {{"id", 1}}}}).status, 201);
}

TEST_F(OlderVersionsTest, TrainWithoutAnnotationsIs400) {
  const Reply reply =
      gateway_.Post("/train", {{"annotations", json::array()}, {"project", kProject}});

  EXPECT_EQ(reply.status, 400);
  EXPECT_THAT(reply.body, HasSubstr("No annotations found."));
}

TEST_F(OlderVersionsTest, TheTrainingEventIsHeardButNotPretendedToTrain) {
  const Reply reply =
      gateway_.Post("/webhook", {{"action", "START_TRAINING"}, {"project", {{"id", 1}}}});

  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.json().at("status"), "not trained");
  EXPECT_TRUE(reply.json().at("job").is_null());
}

TEST_F(OlderVersionsTest, NothingIsEverInTraining) {
  const json::value answer = gateway_.Get(std::string("/is_training?project=") + kProject).json();

  EXPECT_EQ(answer.at("is_training"), false);
  EXPECT_EQ(answer.at("backend"), "none");
  EXPECT_EQ(answer.at("model_version"), gateway_.Get("/versions").json().at("versions").at(0));
}

TEST_F(OlderVersionsTest, AJobThatNobodyHasIsGone) {
  const Reply reply = gateway_.Post("/job_status", {{"job", "c1f9"}});

  EXPECT_EQ(reply.status, 410) << "Label Studio takes that for removed";
  EXPECT_THAT(reply.body, HasSubstr("c1f9"));
}

TEST_F(OlderVersionsTest, ValidateNamesTheControlsThatAreServed) {
  const json::value served = Call("validate", {{"config", kConfig}});

  EXPECT_EQ(served, (json::array{{{"tag_name", "rect"},
                                  {"tag_type", "RectangleLabels"},
                                  {"source_name", "image"},
                                  {"source_type", "Image"},
                                  {"source_value", "$image"}},
                                 {{"tag_name", "brush"},
                                  {"tag_type", "Brush"},
                                  {"source_name", "image"},
                                  {"source_type", "Image"},
                                  {"source_value", "$image"}}}));
}

TEST_F(OlderVersionsTest, ValidateRefusesWhatCannotBeServed) {
  for (const char* config : {"", "<View", "<View><Text name='t' value='$t'/></View>"}) {
    const Reply reply = gateway_.Post("/validate", {{"config", config}});

    EXPECT_EQ(reply.status, 422) << config;
    EXPECT_EQ(reply.json().at("status"), "failed");
    EXPECT_THAT(std::string(reply.json().at("error").as_string()), HasSubstr("config: "));
  }
}

TEST_F(OlderVersionsTest, VersionsAreAskedWithAProjectToo) {
  EXPECT_EQ(Call("versions", {{"project", kProject}}), gateway_.Get("/versions").json());
  EXPECT_EQ(gateway_.Post("/versions", json::object()).status, 400);
}

TEST_F(OlderVersionsTest, ACopiedProjectKeepsItsSettingsAndADeletedOneLosesThem) {
  const auto version_of = [&](const char* project) {
    json::value request = PredictBody(kConfig, {PngDataUri(320, 240)});
    request.as_object()["project"] = project;
    return Call("predict", request).at("model_version");
  };
  const json::value refined = Call("setup", {{"project", kProject},
                                             {"schema", kConfig},
                                             {"extra_params", {{"score_threshold", 0.25}}}})
                                  .at("model_version");

  EXPECT_EQ(Call("duplicate_model", {{"project_src", kProject}, {"project_dst", "7.1654592999"}}),
            json::object());
  EXPECT_EQ(version_of("7.1654592999"), refined);

  EXPECT_EQ(Call("delete", {{"project", kProject}}), json::object());
  EXPECT_NE(version_of(kProject), refined);
  EXPECT_EQ(version_of("7.1654592999"), refined);
}

TEST_F(OlderVersionsTest, BadBodiesAreNamedAndNothingOfTheProcessIsTold) {
  for (const char* path :
       {"/train", "/job_status", "/validate", "/versions", "/delete", "/duplicate_model"}) {
    for (const char* body : {"", "[]", "no json", "{\"project\": []}", "{\"project\": \"1\"} 1"}) {
      const Reply reply = gateway_.Send("POST", path, body);

      EXPECT_EQ(reply.status, 400) << path << ' ' << body;
      EXPECT_FALSE(reply.json().at("error").as_string().empty());
      EXPECT_THAT(reply.body, Not(HasSubstr("traceback")));
    }
  }
  EXPECT_THAT(gateway_.Send("POST", "/job_status", R"({"job": 7})").body, HasSubstr("'job'"));
}

}  // namespace
}  // namespace gateway::testing
