// What /setup says of a project, in its answer and in the log, over real sockets.
#include <gmock/gmock.h>

#include <boost/json/serialize.hpp>
#include <string>
#include <utility>
#include <vector>

#include "tests/integration/gateway/fake_services.h"
#include "tests/integration/gateway/harness.h"
#include "tests/testing/log_capture.h"

namespace gateway::testing {
namespace {

namespace json = boost::json;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

std::string Config(const std::string& controls) {
  return "<View><Image name='image' value='$image'/>" + controls + "</View>";
}

// A control with the label "cat", and perhaps `attributes`.
std::string Cats(const std::string& tag, const std::string& attributes = "") {
  return "<" + tag + " name='" + tag + attributes.substr(0, 6) + "' toName='image' " + attributes +
         "><Label value='cat'/></" + tag + ">";
}

constexpr char kSmart[] = "smart='true'";

// The model's classes are cat and dog.
class SetupTest : public ::testing::Test {
 protected:
  SetupTest() { Start(); }
  void Start(HarnessOptions options = {}) {
    harness_.reset();
    options.detector = services_.address();
    options.segmenter = services_.address();
    harness_ = std::make_unique<Harness>(std::move(options));
    harness_->AwaitModels();
  }
  Reply Setup(const std::string& config, const json::value& extra_params = json::object(),
              const std::string& project = "7.5", const std::string& url = "/setup") {
    return harness_->Post(
        url, {{"project", project}, {"schema", config}, {"extra_params", extra_params}});
  }
  // "" if it was refused or there is none.
  static std::string Warning(const Reply& reply) {
    EXPECT_EQ(reply.status, 200) << reply.body;
    const json::value answer = reply.json();
    const json::value* const warning = answer.as_object().if_contains("warning");
    return warning == nullptr ? "" : std::string(warning->as_string());
  }
  json::array Listed() { return harness_->Get("/").json().at("warnings").as_array(); }

  FakeServices services_;
  std::unique_ptr<Harness> harness_;
};

// ---- Outputs that the label config can't take.

TEST_F(SetupTest, OutputsOfWhichNoTaskCanBeServedAreRefused) {
  for (const json::value& outputs : {json::value("brush"), json::value{"brush"},
                                     json::value{"brush", "polygon"}, json::value(" Brush ,")}) {
    const Reply reply = Setup(Config(Cats("RectangleLabels")), {{"outputs", outputs}});
    EXPECT_EQ(reply.status, 400) << outputs;
    EXPECT_THAT(reply.body, AllOf(HasSubstr("no control that predictions could be written into"),
                                  HasSubstr("of the kinds in outputs")));
  }
}

TEST_F(SetupTest, OutputsThatOnlyClicksCouldServeAreWarnedOf) {
  const std::string row = Cats("RectangleLabels") + Cats("KeyPointLabels", kSmart);
  const std::string smart_brush = Cats("RectangleLabels") + Cats("BrushLabels", kSmart);
  const std::string other_brush = row +
                                  "<BrushLabels name='b' toName='image'><Label value='thing'/>"
                                  "</BrushLabels>";
  for (const std::string& controls : {row, smart_brush, other_brush}) {
    for (const json::value& outputs : {json::value("brush"), json::value{"brush"}}) {
      EXPECT_THAT(Warning(Setup(Config(controls), {{"outputs", outputs}})),
                  AllOf(HasSubstr("outputs asks for brush"), HasSubstr("nothing is written")))
          << controls << outputs;
    }
  }
}

TEST_F(SetupTest, OutputsThatArePartlyPossibleAreWarnedOf) {
  const std::string config = Config(Cats("RectangleLabels") + Cats("BrushLabels", kSmart));
  for (const json::value& outputs :
       {json::value("rectangle,brush,ellipse"), json::value{"brush", "rectangle", "ellipse"}}) {
    EXPECT_THAT(Warning(Setup(config, {{"outputs", outputs}})),
                AllOf(HasSubstr("outputs asks for "), HasSubstr("brush"), HasSubstr("ellipse"),
                      HasSubstr("what is written is rectangle")));
  }
  // The same settings from a profile, and extra_params as the text that Label Studio keeps.
  Start({.profiles = R"({"masks": {"outputs": ["rectangle", "brush"]}})"});
  EXPECT_THAT(Warning(Setup(config, json::object(), "7.5", "/p/masks/setup")),
              HasSubstr("outputs asks for brush"));
  EXPECT_THAT(Warning(Setup(config, R"({"outputs": ["rectangle", "brush"]})")),
              HasSubstr("outputs asks for brush"));
  ASSERT_THAT(Listed(), SizeIs(2));
}

TEST_F(SetupTest, OutputsThatTheConfigTakesAreNot) {
  const std::string two_images =
      "<View><Image name='a' value='$image'/><Image name='b' value='$image'/>"
      "<RectangleLabels name='r' toName='a'><Label value='cat'/></RectangleLabels>"
      "<BrushLabels name='m' toName='b'><Label value='cat'/></BrushLabels></View>";
  const std::string of_tasks = Config("<RectangleLabels name='r' toName='image' value='$labels'/>");
  for (const auto& [config, outputs] :
       {std::pair{two_images, json::value("rectangle,brush")},
        std::pair{of_tasks, json::value("rectangle")},
        std::pair{Config(Cats("BrushLabels")), json::value("auto")},
        std::pair{Config(Cats("BrushLabels")), json::value(json::array())},
        std::pair{Config(Cats("BrushLabels")), json::value("")}}) {
    EXPECT_EQ(Warning(Setup(config, {{"outputs", outputs}})), "") << config << outputs;
  }
}

TEST_F(SetupTest, OutputsThatAreNoneAreRefusedInEveryForm) {
  for (const json::value& outputs :
       {json::value("brushes"), json::value{"rectangle", "Brushlabels"},
        json::value{"auto", "brush"}, json::value("brush, auto"), json::value{json::array{"brush"}},
        json::value{1}, json::value(true), json::value(nullptr), json::value(json::object())}) {
    const Reply reply = Setup(Config(Cats("BrushLabels")), {{"outputs", outputs}});
    EXPECT_EQ(reply.status, 400) << outputs;
    EXPECT_THAT(reply.body, HasSubstr("extra_params: outputs")) << outputs;
  }
  EXPECT_THAT(Setup(Config(Cats("BrushLabels")), {{"outputs", {"auto", "brush"}}}).body,
              HasSubstr("'auto' stands alone"));
}

// ---- Labels in smart controls alone.

TEST_F(SetupTest, LabelsThatOnlySmartControlsHaveAreWarnedOf) {
  const std::string things =
      "<RectangleLabels name='t' toName='image'><Label value='thing'/></RectangleLabels>";
  for (const std::string& controls :
       {things + Cats("RectangleLabels", kSmart), Cats("BrushLabels", kSmart),
        std::string("<Rectangle name='r' toName='image' smart='true'/>")}) {
    EXPECT_THAT(Warning(Setup(Config(controls))),
                AllOf(HasSubstr("nothing is written"), HasSubstr("smart")))
        << controls;
  }
  EXPECT_EQ(Warning(Setup(Config(Cats("BrushLabels", kSmart) + Cats("RectangleLabels")))), "");
}

// ---- Which warnings hold.

TEST_F(SetupTest, AWarningHoldsUntilTheProjectIsMendedWhoeverSaysSo) {
  const std::string things =
      Config("<RectangleLabels name='t' toName='image'><Label value='thing'/></RectangleLabels>");
  ASSERT_NE(Warning(Setup(things, json::object(), "1.5")), "");
  ASSERT_THAT(Listed(), SizeIs(1));

  // The labels are corrected, and a task is opened.
  const std::string cats = Config(Cats("RectangleLabels"));
  EXPECT_EQ(harness_->Post("/predict", PredictBody(cats, {PngDataUri(320, 240)})).status, 200);
  EXPECT_THAT(Listed(), IsEmpty());

  // What is refused replaces what was suspect.
  ASSERT_NE(Warning(Setup(things, json::object(), "1.5")), "");
  EXPECT_EQ(Setup(Config(Cats("KeyPointLabels", kSmart)), json::object(), "1.5").status, 400);
  ASSERT_THAT(Listed(), SizeIs(1));
  EXPECT_THAT(json::serialize(Listed()), HasSubstr("no control that can hold a mask"));
}

// ---- extra_params.

TEST_F(SetupTest, RefusedExtraParamsAreListedUntilTheyAreMended) {
  const std::string cats = Config(Cats("RectangleLabels"));
  for (const auto& [extra_params, said] : std::vector<std::pair<json::value, std::string>>{
           {{{"score_threshold", 7}}, "extra_params: score_threshold is 7 but must be a number"},
           {{{"slice", {{"tlie", 512}}}}, "did you mean \"tile\"?"},
           {"{", "the text of 'extra_params' is not JSON"},
           {json::array{1}, "'extra_params' is a list; needed: an object"}}) {
    const Reply reply = Setup(cats, extra_params, "1.5");
    EXPECT_EQ(reply.status, 400) << reply.body;
    ASSERT_THAT(Listed(), SizeIs(1)) << said;
    const json::object listed = Listed().front().as_object();
    EXPECT_EQ(listed.at("project"), "1");
    EXPECT_EQ(listed.at("about"), "extra_params");
    EXPECT_THAT(std::string(listed.at("warning").as_string()),
                AllOf(StartsWith("refused: "), HasSubstr(said)));
    const json::value failures = harness_->Get("/ui/projects").json().at("failures");
    EXPECT_THAT(std::string(failures.at(0).at("sentence").as_string()), HasSubstr(said));
  }

  // Good ones end it, also where the label config is refused.
  EXPECT_EQ(Setup(Config(Cats("KeyPointLabels", kSmart)), json::object(), "1.5").status, 400);
  ASSERT_THAT(Listed(), SizeIs(1));
  EXPECT_EQ(Listed().front().at("about"), "label_config");
  EXPECT_EQ(Warning(Setup(cats, {{"score_threshold", 0.7}}, "1.5")), "");
  EXPECT_THAT(Listed(), IsEmpty());
}

// Other keys may be somebody else's.
TEST_F(SetupTest, ExtraParamsThatLookMisspeltAreSaidAndIgnored) {
  const duet_testing::LogCapture log;
  const std::string things =
      Config("<RectangleLabels name='t' toName='image'><Label value='thing'/></RectangleLabels>");
  const json::value misspelt = {{"score_treshold", 0.7}, {"title", "cats"}};
  constexpr char kSaid[] =
      "extra_params: \"score_treshold\" is ignored; did you mean \"score_threshold\"?";

  EXPECT_EQ(Warning(Setup(Config(Cats("RectangleLabels")), misspelt, "1.5")), kSaid);
  EXPECT_THAT(Warning(Setup(things, misspelt, "1.5")), AllOf(HasSubstr("thing"), EndsWith(kSaid)));
  EXPECT_THAT(Listed(), SizeIs(2));

  // A label config that is mended says nothing of them.
  const std::string cats = Config(Cats("RectangleLabels"));
  EXPECT_EQ(harness_->Post("/predict", PredictBody(cats, {PngDataUri(320, 240)})).status, 200);
  ASSERT_THAT(Listed(), SizeIs(1));
  EXPECT_EQ(Listed().front().at("about"), "extra_params");

  EXPECT_EQ(Warning(Setup(cats, json::object(), "1.5")), "");
  EXPECT_THAT(Listed(), IsEmpty());
  harness_.reset();
  EXPECT_THAT(log.lines("extra_params.warning"), ElementsAre(HasSubstr("did you mean")));
}

// ---- What the log says of it.

TEST_F(SetupTest, ItsLinesNameTheProject) {
  const duet_testing::LogCapture log;
  const std::string things =
      Config("<RectangleLabels name='t' toName='image'><Label value='thing'/></RectangleLabels>");

  // Projects often have equal label configs.
  for (const char* project : {"7.5", "8.5", "7.6"}) Setup(things, json::object(), project);
  Setup("<View", json::object(), "9.5");
  Setup(Config(Cats("BrushLabels")), {{"outputs", "brushes"}}, "10.5");
  harness_.reset();

  EXPECT_THAT(log.lines("label_config.warning"),
              ElementsAre(HasSubstr("\"project\":\"7\""), HasSubstr("\"project\":\"8\"")));
  EXPECT_THAT(log.lines("http.done"),
              UnorderedElementsAre(HasSubstr("\"project\":\"7\""), HasSubstr("\"project\":\"8\""),
                                   HasSubstr("\"project\":\"7\""), HasSubstr("\"project\":\"9\""),
                                   HasSubstr("\"project\":\"10\"")));
}

TEST_F(SetupTest, LinesOfPredictNameTheProjectAndTheFile) {
  const duet_testing::LogCapture log;
  services_.on_detect = [](auto&, const auto&, auto* response) {
    response->set_image_width(320);
    response->set_image_height(240);
    auto* found = response->add_detections();
    found->set_label("dog");
    found->set_score(0.9f);
    found->mutable_box()->set_x_max(20);
    found->mutable_box()->set_y_max(30);
    return grpc::Status::OK;
  };
  const std::string image = PngDataUri(320, 240);
  for (const char* project : {"7.5", "8.5"}) {
    json::value body = PredictBody(Config(Cats("RectangleLabels")),
                                   {image, "/data/local-files/?d=scans/a%20b.jpg&signature=secret",
                                    "http://127.0.0.1:1/x?sig=secret"});
    body.at("project") = project;
    EXPECT_EQ(harness_->Post("/predict", body).status, 200);
  }
  harness_.reset();

  EXPECT_THAT(log.lines("class.unlabelled"),
              ElementsAre(HasSubstr("\"project\":\"7\""), HasSubstr("\"project\":\"8\"")));
  EXPECT_THAT(log.lines("http.done"), Each(HasSubstr("\"project\":")));
  const std::vector<std::string> failed = log.lines("task.failed");
  ASSERT_THAT(failed, SizeIs(4));
  EXPECT_THAT(failed, Contains(AllOf(HasSubstr("\"task_id\":2"), HasSubstr("\"project\":\"7\""),
                                     HasSubstr("/data/local-files/?d=scans/a%20b.jpg "))));
  EXPECT_THAT(failed, Each(Not(HasSubstr("secret"))));
}

}  // namespace
}  // namespace gateway::testing
