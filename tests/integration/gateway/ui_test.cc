// The page at /ui and what it asks, over real sockets, with fake services behind the gateway.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <boost/json/parse.hpp>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "serving/secret.h"
#include "tests/integration/gateway/gateway_test.h"
#include "tests/testing/log_capture.h"

namespace gateway::testing {
namespace {

namespace json = boost::json;
namespace segmenter = duet::segmenter::v1;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Headers = std::vector<std::pair<std::string, std::string>>;

const Headers kBrowser = {{"Accept", "text/html,application/xhtml+xml,*/*;q=0.8"}};

class UiTest : public GatewayTest {
 protected:
  // Sends the picture: its id.
  std::string Send(const std::string& uri = PngDataUri(320, 240)) {
    const Reply reply = harness_->Post("/ui/images", json::object{{"image", uri}});
    EXPECT_EQ(reply.status, 200) << reply.body;
    return std::string(reply.json().at("image_id").as_string());
  }
  Reply Ask(const std::string& path, const std::string& image_id, json::object body = {}) {
    body["image_id"] = image_id;
    return harness_->Post(path, body);
  }
  static json::object Prompts(const std::string& text) {
    return json::object{{"prompts", json::parse(text)}};
  }
  void KeepQuestions() {
    services_.on_segment = [this](auto&, const auto& request, auto* response) {
      const std::lock_guard lock(mutex_);
      asked_.push_back(request);
      for (int i = 0; i < request.prompts_size(); ++i) {
        auto& mask = *response->add_results()->add_masks();
        mask.set_iou_score(0.75f);
        mask.mutable_row_runs()->set_width(320);
        mask.mutable_row_runs()->set_height(240);
        for (const std::uint32_t run : {330u, 5u, 76465u}) mask.mutable_row_runs()->add_counts(run);
      }
      return grpc::Status::OK;
    };
  }
  segmenter::SegmentRequest asked(std::size_t i) {
    const std::lock_guard lock(mutex_);
    return asked_.at(i);
  }

 private:
  std::mutex mutex_;
  std::vector<segmenter::SegmentRequest> asked_;  // guarded by mutex_
};

TEST_F(UiTest, ABrowserIsLedToThePageAndProgramsGetJson) {
  Harness& gateway = Start({.profiles = R"({"street": {"score_threshold": 0.3}})"});

  EXPECT_EQ(gateway.Get("/").json().at("service"), "duet-gateway");
  EXPECT_THAT(gateway.Get("/").Header("Vary"), "Accept");
  const Reply led = gateway.Send("GET", "/", "", kBrowser);
  EXPECT_EQ(led.status, 303);
  EXPECT_EQ(led.Header("Location"), "ui/");
  EXPECT_EQ(gateway.Send("GET", "/p/street", "", kBrowser).Header("Location"), "street/ui/");
  EXPECT_EQ(gateway.Send("GET", "/p/street/", "", kBrowser).Header("Location"), "ui/");
  EXPECT_EQ(gateway.Get("/ui").Header("Location"), "ui/");
  EXPECT_EQ(gateway.Get("/p/street/ui").Header("Location"), "ui/");
}

TEST_F(UiTest, ThePageLoadsNothingFromElsewhereAndIsInNobodysFrame) {
  const Reply page = Start().Get("/ui/");

  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.Header("Content-Type"), "text/html; charset=utf-8");
  EXPECT_THAT(page.body, HasSubstr("<!doctype html>"));
  EXPECT_THAT(page.body, Not(HasSubstr("http://")));
  EXPECT_THAT(page.body, Not(HasSubstr("https://")));
  const std::string policy = page.Header("Content-Security-Policy");
  EXPECT_THAT(policy, HasSubstr("default-src 'none'"));
  EXPECT_THAT(policy, HasSubstr("frame-ancestors 'none'"));
  EXPECT_THAT(policy, Not(HasSubstr("unsafe")));
  EXPECT_EQ(page.Header("X-Content-Type-Options"), "nosniff");
}

TEST_F(UiTest, AFileIsSentPackedAndOnlyOnce) {
  Harness& gateway = Start();

  const Reply plain = gateway.Get("/ui/app.js");
  const Reply packed = gateway.Send("GET", "/ui/app.js", "", {{"Accept-Encoding", "gzip, br"}});
  const Reply again =
      gateway.Send("GET", "/ui/app.js", "",
                   {{"Accept-Encoding", "gzip, br"}, {"If-None-Match", packed.Header("ETag")}});

  EXPECT_EQ(plain.Header("Content-Type"), "text/javascript; charset=utf-8");
  EXPECT_THAT(plain.body, HasSubstr("import "));
  EXPECT_THAT(plain.Header("Content-Encoding"), IsEmpty());
  EXPECT_EQ(packed.Header("Content-Encoding"), "gzip");
  EXPECT_LT(2 * packed.body.size(), plain.body.size());
  EXPECT_EQ(packed.body.substr(0, 2), "\x1f\x8b");
  EXPECT_NE(packed.Header("ETag"), plain.Header("ETag")) << "other bytes have another tag";
  EXPECT_EQ(again.status, 304);
  EXPECT_THAT(again.body, IsEmpty());
  EXPECT_THAT(again.Header("Content-Length"), IsEmpty());
  EXPECT_EQ(gateway.Send("GET", "/ui/app.js", "", {{"If-None-Match", "\"1\""}}).status, 200);
}

TEST_F(UiTest, ItsPicturesAreNotPacked) {
  const Reply picture = Start().Send("GET", "/ui/sample_1.webp", "", {{"Accept-Encoding", "gzip"}});

  EXPECT_EQ(picture.Header("Content-Type"), "image/webp");
  EXPECT_THAT(picture.Header("Content-Encoding"), IsEmpty());
  EXPECT_EQ(picture.body.substr(0, 4), "RIFF");
}

TEST_F(UiTest, NoOtherFileIsServed) {
  Harness& gateway = Start();

  for (const char* path : {"/ui/nothing.js", "/ui/..", "/ui/%2e%2e", "/ui/CMakeLists.txt"}) {
    EXPECT_EQ(gateway.Get(path).status, 404) << path;
  }
}

TEST_F(UiTest, WithoutItNothingIsThere) {
  HarnessOptions options;
  options.gateway.ui = false;
  Harness& gateway = Start(std::move(options));

  EXPECT_EQ(gateway.Get("/ui/").status, 404);
  EXPECT_EQ(gateway.Post("/ui/images", json::object{{"image", PngDataUri(8, 8)}}).status, 404);
  EXPECT_EQ(gateway.Send("GET", "/", "", kBrowser).json().at("status"), "UP");
}

TEST_F(UiTest, ItSaysWhichModelsThereAre) {
  const json::value models = Start().Get("/ui/models").json();

  EXPECT_EQ(models.at("detector").at("name"), "rtmdet-t");
  EXPECT_EQ(models.at("segmenter").at("reachable"), true);
  EXPECT_EQ(models.at("classes"), (json::array{"cat", "dog"}));
  EXPECT_EQ(models.at("score_threshold"), 0.5);
}

TEST_F(UiTest, APictureIsSentOnceAndThenNamed) {
  Start();

  const std::string id = Send();
  const json::value found = Ask("/ui/detect", id).json();
  const json::value embedded = Ask("/ui/embed", id).json();

  EXPECT_EQ(id, ImageId(DecodedDataUri(PngDataUri(320, 240))));
  EXPECT_EQ(found.at("width"), 320);
  const json::value& cat = found.at("objects").at(0);
  EXPECT_EQ(cat.at("label"), "cat");
  EXPECT_EQ(cat.at("box"), (json::array{10, 20, 110, 120}));
  EXPECT_EQ(embedded.at("cached"), false);
}

TEST_F(UiTest, WeakObjectsComeTooSinceThePageHasASlider) {
  float threshold = -1;
  services_.on_detect = [&](auto&, const auto& request, auto* response) {
    threshold = request.score_threshold();
    response->set_image_width(320);
    response->set_image_height(240);
    return grpc::Status::OK;
  };
  Start();

  EXPECT_EQ(Ask("/ui/detect", Send()).status, 200);

  EXPECT_FLOAT_EQ(threshold, 0.05f);
}

TEST_F(UiTest, TheSecondPictureKnowsHowLongTheEncoderTakes) {
  Harness& gateway = Start();
  const auto upload = [&](int shade) {
    return gateway.Post("/ui/images", json::object{{"image", PngDataUri(320, 240, shade)}}).json();
  };

  const json::value first = upload(1);
  Ask("/ui/embed", std::string(first.at("image_id").as_string()));
  const json::value second = upload(2);

  EXPECT_TRUE(first.at("encoder_seconds").is_null());
  EXPECT_GT(second.at("encoder_seconds").as_double(), 0);
}

TEST_F(UiTest, AClickBecomesAMaskAndSoDoesABox) {
  Start();
  const std::string id = Send();
  Ask("/ui/embed", id);

  const json::value answer =
      Ask("/ui/segment", id, Prompts(R"([{"points": [[50, 60, 1]]}, {"box": [10, 20, 30, 40]}])"))
          .json();

  EXPECT_EQ(answer.at("masks").at(0).at("box"), (json::array{45, 55, 55, 65}));
  EXPECT_EQ(answer.at("masks").at(1).at("box"), (json::array{10, 20, 30, 40}));
  EXPECT_EQ(answer.at("masks").at(1).at("mask").at(0), 20 * 320 + 10);
  EXPECT_EQ(answer.at("masks").at(1).at("mask").at(1), 20);
}

TEST_F(UiTest, AHoverStandsBehindClicksAndLeavesNothingBehind) {
  KeepQuestions();
  Start();
  const std::string id = Send();
  const json::object one = Prompts(R"([{"points": [[50, 60, 1]]}])");

  EXPECT_EQ(Ask("/ui/hover", id, one).json().at("masks").at(0).at("mask"),
            (json::array{330, 5, 76465}));
  Ask("/ui/segment", id, one);
  Ask("/ui/segment", id, Prompts(R"([{"points": [[50, 60, 1], [70, 60, 0]]}])"));

  EXPECT_TRUE(asked(0).hover());
  EXPECT_FALSE(asked(0).refine());
  EXPECT_FALSE(asked(1).hover());
  EXPECT_TRUE(asked(1).refine());
  EXPECT_TRUE(asked(1).multimask_output()) << "one point is ambiguous";
  EXPECT_FALSE(asked(2).multimask_output());
  EXPECT_EQ(asked(2).prompts(0).points(1).label(), 0);
  EXPECT_THAT(asked(2).formats(), ElementsAre(segmenter::MASK_FORMAT_ROW_RUNS));
}

TEST_F(UiTest, APictureThatIsNotKeptIsAskedForAgain) {
  Start();
  const std::string never(64, 'a');

  for (const char* path : {"/ui/detect", "/ui/embed", "/ui/segment", "/ui/hover"}) {
    const Reply reply = Ask(path, never, Prompts(R"([{"points": [[1, 1, 1]]}])"));
    EXPECT_EQ(reply.status, 404) << path;
    EXPECT_THAT(reply.body, HasSubstr("send it again")) << path;
  }
}

TEST_F(UiTest, WhatCantBeAskedIsOneSentence) {
  Harness& gateway = Start();
  const std::string id = Send();
  const std::vector<std::pair<std::string, std::string>> refused = {
      {R"([])", "'prompts' is no list of 1 to 100 prompts"},
      {R"([{}])", "prompts[0] selects nothing"},
      {R"([{"points": [[1, 2, 0]]}])", "prompts[0] selects nothing"},
      {R"([{"points": [[1, 2, 1]]}, {"points": [[1, 2]]}])", "prompts[1] has a point that is not"},
      {R"([{"points": [[1, 2, 2]]}])", "prompts[0] has a point that is not"},
      {R"([{"points": [[1e300, 2, 1]]}])", "prompts[0] has a point that is not"},
      {R"([{"points": 3}])", "prompts[0] has points that are no list"},
      {R"([{"box": [5, 5, 5, 9]}])", "prompts[0] has a box that is not"},
      {R"([7])", "prompts[0] is no object"}};

  for (const auto& [prompts, sentence] : refused) {
    const Reply reply = Ask("/ui/segment", id, Prompts(prompts));
    EXPECT_EQ(reply.status, 400) << prompts;
    EXPECT_THAT(reply.body, HasSubstr(sentence)) << prompts;
  }
  const json::object two = Prompts(R"([{"points": [[1, 2, 1]]}, {"points": [[1, 2, 1]]}])");
  EXPECT_THAT(Ask("/ui/hover", id, two).body, HasSubstr("'prompts' has 2; needed: one"));
  EXPECT_THAT(Ask("/ui/detect", "short").body, HasSubstr("'image_id' has 5 characters"));
  for (const char* body : {"[]", "{", ""}) {
    EXPECT_EQ(gateway.Send("POST", "/ui/detect", body).status, 400) << body;
  }
}

TEST_F(UiTest, OnlyAPictureThatComesAlongIsTaken) {
  Harness& gateway = Start();
  const auto upload = [&](const char* image) {
    return gateway.Post("/ui/images", json::object{{"image", image}});
  };

  EXPECT_THAT(upload("http://127.0.0.1:1/a.jpg").body, HasSubstr("'image' is no data URI"));
  EXPECT_THAT(upload("file:///etc/passwd").body, HasSubstr("'image' is no data URI"));
  EXPECT_EQ(upload("data:image/png;base64,AAAA").status, 400);
  EXPECT_EQ(gateway.Post("/ui/images", json::object()).status, 400);
}

TEST_F(UiTest, AUrlWithoutAServiceSaysSo) {
  Harness& gateway =
      Start({.profiles = R"({"boxes": {"segmenter": ""}, "clicks": {"detector": ""}})"});
  const std::string id = Send();
  const json::object body = {{"image_id", id}};

  EXPECT_TRUE(gateway.Get("/p/boxes/ui/models").json().at("segmenter").is_null());
  EXPECT_THAT(gateway.Post("/p/boxes/ui/embed", body).body, HasSubstr("no segmenter"));
  EXPECT_THAT(gateway.Post("/p/clicks/ui/detect", body).body, HasSubstr("no detector"));
  EXPECT_EQ(gateway.Post("/p/boxes/ui/detect", body).status, 200);
}

class UiExportTest : public UiTest {
 protected:
  // On an image of 4 x 3: a cat's mask of 3 pixels, and a box.
  json::value Export(const std::string& format) {
    const Reply reply = harness_->Post("/ui/export", Body(format));
    EXPECT_EQ(reply.status, 200) << reply.body;
    return reply.json();
  }
  static json::object Body(const std::string& format) {
    json::object body = json::parse(R"({
      "image": {"name": "a b.jpg", "width": 4, "height": 3}, "labels": ["dog", "cat"],
      "objects": [{"label": "cat", "score": 0.5, "mask": [5, 2, 2, 1, 2]},
                  {"label": "dog", "box": [0, 0, 2, 3]}]})")
                            .as_object();
    body["format"] = format;
    return body;
  }
};

TEST_F(UiExportTest, Coco) {
  Start();

  const json::value files = Export("coco").at("files");

  EXPECT_EQ(files.at(0).at("name"), "a b.coco.json");
  const json::value coco = json::parse(files.at(0).at("text").as_string());
  EXPECT_EQ(coco.at("images").at(0).at("file_name"), "a b.jpg");
  EXPECT_EQ(coco.at("categories").at(0).at("name"), "dog");
  const json::value& cat = coco.at("annotations").at(0);
  EXPECT_EQ(cat.at("category_id"), 2);
  EXPECT_EQ(cat.at("area"), 3);
  EXPECT_EQ(cat.at("segmentation").at("size"), (json::array{3, 4}));
  EXPECT_EQ(coco.at("annotations").at(1).at("bbox"), (json::array{0, 0, 2, 3}));
}

TEST_F(UiExportTest, LabelStudioWithTheConfigThatTheTasksAreFor) {
  Start();

  const json::value files = Export("label_studio").at("files");

  const json::value tasks = json::parse(files.at(0).at("text").as_string());
  EXPECT_EQ(tasks.at(0).at("data").at("image"), "a b.jpg");
  const json::array& regions = tasks.at(0).at("annotations").at(0).at("result").as_array();
  EXPECT_GE(regions.size(), 3u) << "a box and a mask of the cat, a box of the dog";
  EXPECT_EQ(files.at(1).at("name"), "label_config.xml");
  EXPECT_THAT(std::string(files.at(1).at("text").as_string()), HasSubstr(R"(value="cat")"));
}

TEST_F(UiExportTest, Yolo) {
  Start();

  const json::value files = Export("yolo").at("files");

  EXPECT_EQ(files.at(0).at("name"), "a b.txt");
  // The cat's outline in shares; and the dog's corners, since all lines have to be of one shape.
  const std::string text(files.at(0).at("text").as_string());
  EXPECT_THAT(text, HasSubstr("1 0.25 0.333333"));
  EXPECT_THAT(text, HasSubstr("\n0 0 0 0.5 0 0.5 1 0 1\n"));
  EXPECT_THAT(std::string(files.at(1).at("text").as_string()), HasSubstr("1: \"cat\""));
}

TEST_F(UiExportTest, WhatCantBeWrittenIsOneSentence) {
  Harness& gateway = Start();
  const auto refusal = [&](auto change) {
    json::object body = Body("coco");
    change(body);
    const Reply reply = gateway.Post("/ui/export", body);
    EXPECT_EQ(reply.status, 400);
    return reply.body;
  };

  EXPECT_THAT(refusal([](auto& body) { body["format"] = "voc"; }),
              HasSubstr("'format' is 'voc'; needed: coco, label_studio or yolo"));
  EXPECT_THAT(refusal([](auto& body) { body["labels"] = json::array{"dog"}; }),
              HasSubstr("objects[0]: its label 'cat' is none of 'labels'"));
  EXPECT_THAT(refusal([](auto& body) { body["image"].at("width") = 0; }),
              HasSubstr("'image' has no width; needed: pixels, 1 to"));
  EXPECT_THAT(refusal([](auto& body) {
                body["objects"].at(0).at("mask") = json::array{1, 2};
              }),
              HasSubstr("objects[0]: its mask"));
  EXPECT_THAT(refusal([](auto& body) {
                body["objects"].at(1).at("box") = json::array{9, 0, 8, 1};
              }),
              HasSubstr("objects[1]: it has neither a mask nor a box with an area"));
  EXPECT_THAT(refusal([](auto& body) {
                body["objects"].at(1).as_object()["rotated_box"] = json::array{1, 1, 1e300, 1, 0};
              }),
              HasSubstr("objects[1]: its rotated box is no list of 5 numbers"));
  EXPECT_THAT(refusal([](auto& body) {
                body["objects"].at(1).as_object()["rotated_box"] = json::array{1, 1, -2, 1, 0};
              }),
              HasSubstr("objects[1]: its rotated box has no area"));
}

TEST_F(UiExportTest, AShortRequestFillsNoMemory) {
  Start();
  json::object body = Body("coco");
  body["image"] = json::object{{"name", "a.jpg"}, {"width", 1}, {"height", 1'000'000}};
  // Each is a span a row.
  json::array objects;
  for (int i = 0; i < 12; ++i) {
    objects.push_back(json::object{{"label", "cat"}, {"mask", json::array{0, 1'000'000}}});
  }
  body["objects"] = std::move(objects);

  const Reply reply = harness_->Post("/ui/export", body);

  EXPECT_EQ(reply.status, 400);
  EXPECT_THAT(reply.body, HasSubstr("objects[8]: with its mask, all masks have 9000000"));
}

class UiConfigTest : public UiTest {
 protected:
  Reply Review(const std::string& config, json::object more = {}) {
    more["label_config"] = config;
    return harness_->Post("/ui/config", more);
  }
};

TEST_F(UiConfigTest, EachClassIsSaidWithItsControlsAndLabels) {
  Start();

  const json::value review = Review(R"(<View><Image name="image" value="$image"/>
    <RectangleLabels name="box" toName="image"><Label value="Cat" alias="c"/></RectangleLabels>
    <BrushLabels name="mask" toName="image"><Label value="cat"/></BrushLabels>
    <KeyPointLabels name="click" toName="image" smart="true"><Label value="cat"/></KeyPointLabels>
    </View>)")
                                 .json();

  const json::value& image = review.at("images").at(0);
  EXPECT_EQ(image.at("classes").as_array().size(), 1u);
  const json::value& cat = image.at("classes").at(0);
  EXPECT_EQ(cat.at("class"), "cat");
  EXPECT_EQ(cat.at("targets"),
            (json::array{{{"control", "box"}, {"tag", "RectangleLabels"}, {"label", "c"}},
                         {{"control", "mask"}, {"tag", "BrushLabels"}, {"label", "cat"}}}));
  EXPECT_EQ(image.at("smart"), (json::array{{{"control", "box"}, {"tag", "RectangleLabels"}},
                                            {{"control", "click"}, {"tag", "KeyPointLabels"}}}));
  EXPECT_EQ(review.at("unmatched"), json::array{"dog"});
  EXPECT_TRUE(review.at("problems").as_array().empty());
}

TEST_F(UiConfigTest, ALabelMapIsTakenAndAnUnknownParameterIsNamed) {
  Start();
  constexpr char kAnimals[] = R"(<View><Image name="image" value="$image"/>
    <RectangleLabels name="box" toName="image"><Label value="animal"/></RectangleLabels></View>)";

  const json::value without = Review(kAnimals).json();
  const json::value with =
      Review(kAnimals, {{"extra_params", {{"label_map", {{"cat", "animal"}, {"dog", "animal"}}}}}})
          .json();
  const Reply unknown = Review(kAnimals, {{"extra_params", {{"score", "mean"}, {"scroe", 1}}}});

  EXPECT_THAT(std::string(without.at("problems").at(0).as_string()),
              HasSubstr("no label for any class of the model"));
  EXPECT_TRUE(with.at("unmatched").as_array().empty());
  EXPECT_EQ(unknown.status, 400);
  EXPECT_THAT(unknown.body, HasSubstr("scroe"));
}

TEST_F(UiConfigTest, LabelsOfATaskNeedItsData) {
  Start();
  constexpr char kOfTask[] = R"(<View><Image name="image" value="$image"/>
    <RectangleLabels name="box" toName="image" value="$classes"/></View>)";

  const json::value without = Review(kOfTask).json();
  const json::value with =
      Review(kOfTask, {{"task_data", {{"image", "a.jpg"}, {"classes", {"dog", "cow"}}}}}).json();

  EXPECT_EQ(without.at("depends_on_task"), true);
  EXPECT_EQ(without.at("unmatched"), json::array()) << "its labels aren't known";
  EXPECT_EQ(with.at("images").at(0).at("classes").at(0).at("class"), "dog");
  EXPECT_EQ(with.at("unmatched"), json::array{"cat"});
}

TEST_F(UiConfigTest, WhatIsNoConfigIsOneSentence) {
  Start();

  EXPECT_EQ(Review("<View>").status, 400);
  EXPECT_THAT(Review("").body, HasSubstr("'label_config' is missing"));
  EXPECT_THAT(Review("<View/>", {{"task_data", 7}}).body, HasSubstr("'task_data' is no object"));
}

class UiWellTest : public UiTest {
 protected:
  Reply Projects() {
    return harness_->Send("GET", "/ui/projects", "", {{"Host", "127.0.0.1:8003"}});
  }
  static constexpr char kConfig[] = R"(<View><Image name="image" value="$image"/>
    <RectangleLabels name="rect" toName="image"><Label value="cat"/></RectangleLabels></View>)";
};

TEST_F(UiWellTest, TheSentenceThatLabelStudioSwallowsIsShown) {
  Harness& gateway = Start();
  json::object body = PredictBody(kConfig, {"ftp://nowhere/a.jpg"}).as_object();
  body["project"] = "7.1795395253";

  gateway.Post("/predict", body);
  const json::value shown = Projects().json();

  const json::value& failure = shown.at("failures").at(0);
  EXPECT_EQ(failure.at("project"), "7");
  EXPECT_EQ(failure.at("task"), 1);
  EXPECT_EQ(failure.at("kind"), "opened");
  EXPECT_THAT(std::string(failure.at("sentence").as_string()), HasSubstr("ftp"));
}

TEST_F(UiWellTest, EachTaskOfABatchHasItsSentenceAndTheNewestComesFirst) {
  Harness& gateway = Start();

  gateway.Post("/predict", PredictBody(kConfig, {PngDataUri(320, 240), "ftp://nowhere/a.jpg"}));
  gateway.Post("/setup", {{"project", "8"}, {"schema", "<View/>"}});
  const json::value shown = Projects().json();

  EXPECT_EQ(shown.at("failures").as_array().size(), 2u);
  EXPECT_EQ(shown.at("failures").at(0).at("kind"), "setup");
  EXPECT_EQ(shown.at("failures").at(0).at("project"), "8");
  EXPECT_EQ(shown.at("failures").at(1).at("task"), 2);
}

TEST_F(UiWellTest, AConnectedProjectIsShownWithWhatGoesWhere) {
  Harness& gateway = Start();

  gateway.Post("/setup", {{"project", "7"}, {"schema", kConfig}});
  const json::value shown = Projects().json();

  const json::value& project = shown.at("projects").at(0);
  EXPECT_EQ(project.at("project"), "7");
  EXPECT_EQ(project.at("writes").at("unmatched"), json::array{"dog"});
  EXPECT_EQ(project.at("writes").at("images").at(0).at("classes").at(0).at("class"), "cat");
}

TEST_F(UiWellTest, OfATokenOnlyItsEndIsShown) {
  // {"token_type": "refresh", "exp": 4102444800}
  const std::string token =
      "e30.eyJ0b2tlbl90eXBlIjogInJlZnJlc2giLCAiZXhwIjogNDEwMjQ0NDgwMH0.c2lnbmF0dXJl";
  Start({.gateway = {.label_studio = {.url = "http://127.0.0.1:1",
                                      .token = std::make_shared<serving::Secret>(token)}}});

  const Reply shown = Projects();

  EXPECT_EQ(shown.json().at("token").at("valid_until"), "2100-01-01T00:00:00+00:00");
  EXPECT_EQ(shown.json().at("token").at("expired"), false);
  EXPECT_THAT(shown.body, Not(HasSubstr("c2lnbmF0dXJl")));
}

// What tells of people's projects, or stops their work.
constexpr std::pair<const char*, const char*> kForOperator[] = {
    {"GET", "/ui/projects"}, {"GET", "/jobs"},    {"DELETE", "/jobs/none"},
    {"GET", "/train/7"},     {"GET", "/embed/7"}, {"GET", "/ui/trainings"}};

TEST_F(UiWellTest, WithoutAPasswordProjectsAreForThisMachineAlone) {
  Harness& gateway = Start();
  for (const auto& [method, path] : kForOperator) {
    const auto status = [&](const Headers& headers) {
      return gateway.Send(method, path, "", headers).status;
    };
    EXPECT_NE(status({{"Host", "127.0.0.1:8003"}}), 403) << path;
    EXPECT_NE(status({{"Host", "localhost:8003"}, {"Sec-Fetch-Site", "same-origin"}}), 403) << path;
    EXPECT_EQ(status({{"Host", "evil.example"}}), 403) << path << " by a name made to lead here";
    EXPECT_EQ(status({{"X-Forwarded-For", "10.0.0.7"}}), 403) << path;
    EXPECT_THAT(gateway.Send(method, path, "", {{"Via", "1.1 a"}}).body,
                HasSubstr("--basic_auth_user"))
        << path;
  }
}

TEST_F(UiWellTest, WarningsOfLabelConfigsAreForThisMachineAlone) {
  Harness& gateway = Start();
  gateway.Post("/setup",
               {{"project", "7"}, {"schema", "<View><Image name='i' value='$image'/></View>"}});
  const auto shown = [&](const Headers& headers) {
    const json::value root = gateway.Send("GET", "/", "", headers).json();
    return root.as_object().contains("warnings");
  };

  EXPECT_TRUE(shown({{"Host", "localhost:8003"}}));
  EXPECT_FALSE(shown({{"Host", "evil.example"}}));
  EXPECT_FALSE(shown({{"X-Forwarded-For", "10.0.0.7"}}));
}

TEST_F(UiWellTest, WithAPasswordProjectsAreForWhoHasIt) {
  Harness& gateway =
      Start({.gateway = {.basic_auth_user = "ann",
                         .basic_auth_password = std::make_shared<serving::Secret>("secret")}});

  const Headers elsewhere = {{"Host", "duet.example"},
                             {"X-Forwarded-For", "10.0.0.7"},
                             {"Authorization", "Basic YW5uOnNlY3JldA=="}};
  EXPECT_EQ(gateway.Get("/ui/").status, 401);
  for (const auto& [method, path] : kForOperator) {
    EXPECT_EQ(gateway.Send(method, path, "").status, 401) << path;
    EXPECT_THAT(gateway.Send(method, path, "", elsewhere).status, AnyOf(200, 404)) << path;
  }
  EXPECT_TRUE(gateway.Send("GET", "/", "", elsewhere).json().as_object().contains("warnings"));
}

TEST_F(UiWellTest, TheLastRequestsAreShownWithoutThePagesOwn) {
  Harness& gateway = Start();
  gateway.Get("/versions");
  gateway.Get("/health");
  gateway.Get("/ui/app.js");

  // A request is noted after its answer.
  json::value shown;
  do {
    shown = gateway.Get("/ui/requests").json();
  } while (shown.at("requests").as_array().empty());

  EXPECT_EQ(shown.at("requests").as_array().size(), 1u);
  EXPECT_EQ(shown.at("requests").at(0).at("route"), "/versions");
  EXPECT_EQ(shown.at("requests").at(0).at("status"), 200);
}

TEST_F(UiWellTest, AnOpenPageFillsNoLog) {
  const duet_testing::LogCapture log;
  Harness& gateway = Start();

  for (const char* path : {"/", "/ui/requests", "/ui/projects", "/ui/trainings", "/ui/models"}) {
    EXPECT_EQ(gateway.Send("GET", path, "", {{"Host", "127.0.0.1:8003"}}).status, 200) << path;
  }
  gateway.Get("/versions");
  harness_.reset();

  EXPECT_THAT(log.lines("http.done"), ElementsAre(HasSubstr(R"("route":"/versions")")));
}

TEST_F(UiWellTest, QueuesAndCachesAreShown) {
  services_.on_detect = [&](auto&, const auto&, auto* response) {
    response->set_image_width(320);
    response->set_image_height(240);
    response->mutable_timing()->set_queue_ms(7.5f);
    return grpc::Status::OK;
  };
  Harness& gateway = Start();
  const std::string id = Send();

  Ask("/ui/detect", id);
  Ask("/ui/embed", id);
  Ask("/ui/embed", id);
  gateway.Post("/setup", {{"project", "7"}, {"schema", kConfig}});
  gateway.Post("/setup", {{"project", "7"}, {"schema", kConfig}});
  const json::value shown = gateway.Get("/ui/requests").json();

  const json::value& detector = shown.at("services").at("detector");
  EXPECT_EQ(detector.at("answered"), 1);
  EXPECT_EQ(detector.at("failed"), 0);
  EXPECT_EQ(detector.at("under_way"), 0);
  EXPECT_EQ(detector.at("queue_ms"), json::array{7.5});
  const json::value& segmenter = shown.at("services").at("segmenter");
  EXPECT_EQ(segmenter.at("embeddings"), 2);
  EXPECT_EQ(segmenter.at("embeddings_there"), 1);
  EXPECT_GE(shown.at("projects").at("found").as_int64(), 1);
  EXPECT_GT(shown.at("projects").at("lookups").as_int64(),
            shown.at("projects").at("found").as_int64());
}

TEST_F(UiWellTest, CallsThatWaitAndCallsThatFailAreShown) {
  std::atomic<bool> held = true;
  services_.on_detect = [&](auto&, const auto&, auto*) {
    while (held) std::this_thread::yield();
    return grpc::Status(grpc::StatusCode::INTERNAL, "no more");
  };
  Harness& gateway = Start();
  const std::string id = Send();
  const auto detector = [&] {
    return gateway.Get("/ui/requests").json().at("services").at("detector");
  };

  std::thread asking([&] { Ask("/ui/detect", id); });
  while (detector().at("under_way") != 1) std::this_thread::yield();
  held = false;
  asking.join();

  EXPECT_EQ(detector().at("under_way"), 0);
  EXPECT_EQ(detector().at("failed"), 1);
  EXPECT_EQ(detector().at("queue_ms"), json::array());
}

TEST_F(UiWellTest, WithoutAModelRootNothingIsRolledBack) {
  Harness& gateway = Start();
  const json::object asked = {{"kind", "detector"}, {"name", "project-7"}, {"from", 2}, {"to", 1}};
  const auto refusal = [&](const char* field, const json::value& value) {
    json::object wrong = asked;
    wrong[field] = value;
    const Reply reply = gateway.Post("/ui/rollback", wrong);
    EXPECT_EQ(reply.status, 400) << field;
    return reply.body;
  };

  EXPECT_EQ(gateway.Post("/ui/rollback", asked).status, 404);
  EXPECT_THAT(refusal("kind", "cat"), HasSubstr("'kind' is missing; needed: detector or segm"));
  EXPECT_THAT(refusal("name", "../7"), HasSubstr("../7"));
  EXPECT_THAT(refusal("from", -1), HasSubstr("'from' is no version; needed: its number"));
  EXPECT_THAT(refusal("to", "1"), HasSubstr("'to' is no version"));
  EXPECT_THAT(refusal("to", 1.5), HasSubstr("'to' is no version"));
}

}  // namespace
}  // namespace gateway::testing
