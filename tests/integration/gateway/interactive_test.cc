// Prompts drawn with smart tools, through real sockets: what the segmenter is asked, and where its
// answer goes. Also the clauses of label configs that show only with a model behind them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <mutex>

#include "tests/integration/gateway/fake_services.h"
#include "tests/integration/gateway/harness.h"

namespace gateway::testing {
namespace {

namespace json = boost::json;
namespace segmenter = duet::segmenter::v1;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr char kSmart[] = R"(<View><Image name="image" value="$image"/>
  <BrushLabels name="brush" toName="image"><Label value="cat"/><Label value="dog"/></BrushLabels>
  <KeyPointLabels name="point" toName="image" smart="true"><Label value="cat"/><Label value="dog"/></KeyPointLabels>
  <RectangleLabels name="box" toName="image" smart="true"><Label value="cat"/><Label value="dog"/></RectangleLabels>
  </View>)";

// As the editor sends them, on an image of 320 × 240.
json::object Region(const std::string& from_name, const std::string& type, json::object value,
                    json::object fields) {
  json::object region = {
      {"original_width", 320}, {"original_height", 240}, {"image_rotation", 0},    {"id", "r"},
      {"to_name", "image"},    {"origin", "manual"},     {"from_name", from_name}, {"type", type},
      {"value", value}};
  for (const auto& [key, field] : fields) region[key] = field;
  return region;
}

json::object Click(double x, double y, json::object fields) {
  return Region("point", "keypointlabels",
                {{"x", x}, {"y", y}, {"width", 0.3}, {"keypointlabels", {"dog"}}},
                std::move(fields));
}

class InteractiveTest : public ::testing::Test {
 protected:
  Harness& Start(const std::string& profiles = "") {
    services_.on_segment = nullptr;
    harness_ = std::make_unique<Harness>(HarnessOptions{
        .detector = services_.address(), .segmenter = services_.address(), .profiles = profiles});
    harness_->AwaitModels();
    return *harness_;
  }
  // Answers every prompt with masks of these IoUs, each one pixel larger than the one before.
  void KeepQuestions(std::vector<float> ious = {0.8f}) {
    services_.on_segment = [this, ious](auto&, const auto& request, auto* response) {
      const std::lock_guard lock(mutex_);
      asked_.push_back(request);
      for (int i = 0; i < request.prompts_size(); ++i) {
        auto* result = response->add_results();
        for (std::size_t mask = 0; mask < ious.size(); ++mask) {
          auto* one = result->add_masks();
          one->set_iou_score(ious[mask]);
          auto* runs = one->mutable_row_runs();
          runs->set_width(320);
          runs->set_height(240);
          const int pixels = 10 + static_cast<int>(mask);
          runs->add_counts(0);
          runs->add_counts(pixels);
          runs->add_counts(320 * 240 - pixels);
        }
      }
      return grpc::Status::OK;
    };
  }
  Reply Ask(json::array regions, const char* label_config = kSmart) {
    return harness_->Post("/predict", PredictBody(label_config, {image_},
                                                  json::object{{"result", std::move(regions)}}));
  }
  // The images that a task of several has, by field.
  Reply AskOfTask(const char* label_config, json::object data, json::array regions) {
    json::value body = PredictBody(
        label_config, {image_},
        regions.empty() ? json::value(nullptr) : json::object{{"result", std::move(regions)}});
    body.at("tasks").at(0).at("data") = std::move(data);
    return harness_->Post("/predict", body);
  }
  static std::vector<int> Labels(const segmenter::Prompt& prompt) {
    std::vector<int> labels;
    for (const auto& point : prompt.points()) labels.push_back(point.label());
    return labels;
  }

  FakeServices services_;
  std::mutex mutex_;
  std::vector<segmenter::SegmentRequest> asked_;  // guarded by mutex_
  std::unique_ptr<Harness> harness_;
  const std::string image_ = PngDataUri(320, 240);
};

TEST_F(InteractiveTest, PointsOfBothSignsAndARectangleAreOneObject) {
  Start();
  KeepQuestions();

  const Reply reply = Ask(
      {Click(30, 70, {{"origin", "prediction"}, {"score", 0.6}}),  // the model's own: no prompt
       Region("box", "rectanglelabels",
              {{"x", 10}, {"y", 20}, {"width", 50}, {"height", 60}, {"rectanglelabels", {"dog"}}},
              {}),
       Click(25, 50, {}),  // from a draft: its sign is lost, it was positive
       Click(50, 50, {{"is_positive", true}}), Click(75, 50, {{"is_positive", false}})});

  ASSERT_EQ(reply.status, 200) << reply.body;
  ASSERT_THAT(asked_, SizeIs(1));
  ASSERT_EQ(asked_[0].prompts_size(), 1);
  const segmenter::Prompt& prompt = asked_[0].prompts(0);
  EXPECT_THAT(Labels(prompt), ElementsAre(1, 1, 0));
  EXPECT_FLOAT_EQ(prompt.points(0).x(), 80);
  EXPECT_FLOAT_EQ(prompt.points(0).y(), 120);
  EXPECT_FLOAT_EQ(prompt.box().x_min(), 32);
  EXPECT_FLOAT_EQ(prompt.box().y_max(), 192);
  EXPECT_FALSE(asked_[0].multimask_output()) << "so much is not ambiguous";
  const json::array regions = reply.result(0).at("result").as_array();
  ASSERT_THAT(regions, SizeIs(2)) << "one object: its mask and, since a box was drawn, its box";
  EXPECT_EQ(regions[0].at("value").at("brushlabels").at(0), "dog");
  EXPECT_EQ(regions[1].at("from_name"), "box");
  EXPECT_EQ(regions[1].at("value").at("rectanglelabels").at(0), "dog");
}

// SAM, asked with negative points alone, answers with the very thing that they exclude.
TEST_F(InteractiveTest, NegativePointsAloneSelectNothing) {
  Start();
  KeepQuestions();

  const Reply reply =
      Ask({Click(25, 50, {{"is_positive", false}}), Click(75, 50, {{"is_positive", false}})});

  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_THAT(reply.result(0).at("result").as_array(), SizeIs(0));
  EXPECT_THAT(asked_, SizeIs(0));
}

TEST_F(InteractiveTest, TheKindOfAnAnswerIsChosenBeforeControlsThatAreNotSmart) {
  constexpr char kSmartBrush[] = R"(<View><Image name="image" value="$image"/>
    <RectangleLabels name="plain" toName="image"><Label value="dog"/></RectangleLabels>
    <BrushLabels name="brush" toName="image" smart="true"><Label value="dog"/></BrushLabels>
    <KeyPointLabels name="point" toName="image" smart="true"><Label value="dog"/></KeyPointLabels></View>)";
  Start();
  KeepQuestions();

  const Reply reply = Ask({Click(50, 50, {{"is_positive", true}})}, kSmartBrush);

  ASSERT_EQ(reply.status, 200) << reply.body;
  ASSERT_THAT(reply.result(0).at("result").as_array(), SizeIs(1));
  EXPECT_EQ(reply.result(0).at("result").at(0).at("from_name"), "brush");
}

TEST_F(InteractiveTest, OfThreeMasksForOneClickTheBestIsTheAnswer) {
  Start();
  KeepQuestions({0.3f, 0.9f, 0.5f});

  const Reply reply = Ask({Click(50, 50, {{"is_positive", true}})});

  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_TRUE(asked_[0].multimask_output());
  EXPECT_NEAR(reply.result(0).at("score").to_number<double>(), 0.9, 1e-6);
}

// The segmenter finds the mask of the clicks before by their points, in their order
// (refinement_memory.h); tests/e2e/test_processes.py sees that it uses its logits.
TEST_F(InteractiveTest, AFurtherClickExtendsTheOnesBefore) {
  Start();
  KeepQuestions();

  Ask({Click(30, 40, {{"is_positive", true}})});
  Ask({Click(30, 40, {}), Click(60, 50, {{"is_positive", false}})});

  ASSERT_THAT(asked_, SizeIs(2));
  EXPECT_TRUE(asked_[0].refine() && asked_[1].refine());
  const segmenter::Prompt& first = asked_[0].prompts(0);
  segmenter::Prompt extended = asked_[1].prompts(0);
  EXPECT_THAT(Labels(extended), ElementsAre(1, 0));
  extended.mutable_points()->RemoveLast();
  EXPECT_EQ(extended.SerializeAsString(), first.SerializeAsString());
}

TEST_F(InteractiveTest, ATurnedViewMovesNothing) {
  Start();
  KeepQuestions();

  const Reply reply = Ask({Click(25, 50, {{"is_positive", true}, {"image_rotation", 90}})});

  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_FLOAT_EQ(asked_[0].prompts(0).points(0).x(), 80);
  EXPECT_FLOAT_EQ(asked_[0].prompts(0).points(0).y(), 120);
  const json::value region = reply.result(0).at("result").at(0);
  EXPECT_EQ(region.at("image_rotation"), 90);
  EXPECT_EQ(region.at("original_width"), 320);
}

TEST_F(InteractiveTest, OfSeveralImagesTheOneClickedIntoIsAsked) {
  constexpr char kTwo[] =
      R"(<View><Image name="left" value="$left"/><Image name="right" value="$right"/>
    <BrushLabels name="lbrush" toName="left"><Label value="dog"/></BrushLabels>
    <BrushLabels name="rbrush" toName="right"><Label value="dog"/></BrushLabels>
    <KeyPointLabels name="lpoint" toName="left" smart="true"><Label value="dog"/></KeyPointLabels>
    <KeyPointLabels name="rpoint" toName="right" smart="true"><Label value="dog"/></KeyPointLabels></View>)";
  const std::string right = PngDataUri(320, 240, 9);
  Start();
  KeepQuestions();
  const auto click = [](const char* control, const char* image) {
    return Click(50, 50, {{"from_name", control}, {"to_name", image}, {"is_positive", true}});
  };

  // What was drawn on the other image is another object.
  const Reply reply = AskOfTask(kTwo, {{"left", image_}, {"right", right}},
                                {click("lpoint", "left"), click("rpoint", "right")});

  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(asked_[0].image_id(), ImageId(DecodedDataUri(right)));
  EXPECT_EQ(asked_[0].prompts(0).points_size(), 1);
  const json::value region = reply.result(0).at("result").at(0);
  EXPECT_EQ(region.at("from_name"), "rbrush");
  EXPECT_EQ(region.at("to_name"), "right");
}

TEST_F(InteractiveTest, OfAListThePageClickedIntoIsAsked) {
  constexpr char kPages[] = R"(<View><Image name="image" valueList="$pages"/>
    <BrushLabels name="brush" toName="image"><Label value="dog"/></BrushLabels>
    <KeyPointLabels name="point" toName="image" smart="true"><Label value="dog"/></KeyPointLabels></View>)";
  const std::string second = PngDataUri(320, 240, 9);
  Start();
  KeepQuestions();
  const auto click = [](int page) {
    return Click(50, 50, {{"item_index", page}, {"is_positive", true}});
  };

  const Reply reply = AskOfTask(kPages, {{"pages", {image_, second}}}, {click(0), click(1)});
  const Reply beyond = AskOfTask(kPages, {{"pages", {image_, second}}}, {click(2)});

  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(asked_[0].image_id(), ImageId(DecodedDataUri(second)));
  EXPECT_EQ(reply.result(0).at("result").at(0).at("item_index"), 1);
  EXPECT_EQ(beyond.status, 400);
  EXPECT_THAT(beyond.body, HasSubstr("item_index is 2 but the task has 2 images"));
}

TEST_F(InteractiveTest, OpeningATaskEmbedsTheImagesThatASmartToolDrawsOn) {
  constexpr char kOneSmart[] =
      R"(<View><Image name="left" value="$left"/><Image name="right" value="$right"/>
    <RectangleLabels name="lbox" toName="left"><Label value="cat"/></RectangleLabels>
    <RectangleLabels name="rbox" toName="right"><Label value="cat"/></RectangleLabels>
    <KeyPointLabels name="rpoint" toName="right" smart="true"><Label value="cat"/></KeyPointLabels></View>)";
  std::vector<std::string> embedded;
  services_.on_embed = [&](auto&, const auto& request, auto*) {
    const std::lock_guard lock(mutex_);
    embedded.push_back(ImageId(request.image().data()));
    EXPECT_EQ(request.rank(), segmenter::EMBED_RANK_OPENED_TASK);
    return grpc::Status::OK;
  };
  const std::string right = PngDataUri(320, 240, 9);
  Start();

  const Reply reply = AskOfTask(kOneSmart, {{"left", image_}, {"right", right}}, {});

  ASSERT_EQ(reply.status, 200) << reply.body;
  while (services_.count("Embed") < 1) std::this_thread::yield();
  harness_.reset();
  EXPECT_THAT(embedded, ElementsAre(ImageId(DecodedDataUri(right))));
}

// ---- Label configs.

class LabelConfigsTest : public InteractiveTest {
 protected:
  // One object of each class in every image.
  void Find(std::vector<std::string> classes) {
    services_.classes = classes;
    services_.on_detect = [classes](auto&, const auto&, auto* response) {
      response->set_image_width(320);
      response->set_image_height(240);
      for (const std::string& name : classes) {
        auto* found = response->add_detections();
        found->set_label(name);
        found->set_score(0.9f);
        found->mutable_box()->set_x_max(20);
        found->mutable_box()->set_y_max(30);
      }
      return grpc::Status::OK;
    };
  }
  static std::vector<std::string> LabelsOf(const json::value& prediction) {
    std::vector<std::string> labels;
    for (const json::value& region : prediction.at("result").as_array()) {
      labels.push_back(std::string(region.at("value").at("rectanglelabels").at(0).as_string()));
    }
    return labels;
  }
};

TEST_F(LabelConfigsTest, AClassWithoutALabelIsCountedOnceAProjectNotOnceAnImage) {
  Find({"cat", "sofa", "sofa"});
  constexpr char kCats[] = R"(<View><Image name="image" value="$image"/>
    <RectangleLabels name="rect" toName="image"><Label value="cat"/></RectangleLabels></View>)";
  constexpr char kOtherCats[] = R"(<View><Image name="image" value="$image"/><Header value="h"/>
    <RectangleLabels name="rect" toName="image"><Label value="cat"/></RectangleLabels></View>)";
  Harness& gateway = Start();
  const auto dropped = [&](int count) {
    return HasSubstr("duet_gateway_dropped_total{reason=\"unlabelled_class\"} " +
                     std::to_string(count));
  };

  const Reply batch =
      gateway.Post("/predict", PredictBody(kCats, {image_, PngDataUri(320, 240, 7), image_}));
  EXPECT_THAT(LabelsOf(batch.result(0)), ElementsAre("cat"));
  EXPECT_THAT(gateway.Get("/metrics").body, dropped(1));
  gateway.Post("/predict", PredictBody(kCats, {image_}));
  EXPECT_THAT(gateway.Get("/metrics").body, dropped(1));
  gateway.Post("/predict", PredictBody(kOtherCats, {image_}));
  EXPECT_THAT(gateway.Get("/metrics").body, dropped(2));
}

TEST_F(LabelConfigsTest, AliasPredictedValuesAndTheProfilesMapNameLabels) {
  Find({"cat", "dog", "baseball bat", "zebra"});
  constexpr char kNames[] = R"(<View><View><Image name="image" value="$image"/></View>
    <Choices name="weather" toName="image"><Choice value="sun"/></Choices>
    <View><View><RectangleLabels name="rect" toName="image" value="Add Rectangle" hotkey="r">
      <Label value="Katze" alias="cat"/><Label value="Hund" predicted_values="wolf, dog"/>
      <Label value="Baseball_Bat"/><Label value="Pferd"/></RectangleLabels></View></View></View>)";
  Harness& gateway = Start(R"({"mapped": {"label_map": {"zebra": "Pferd"}}})");

  const Reply plain = gateway.Post("/predict", PredictBody(kNames, {image_}));
  const Reply mapped = gateway.Post("/p/mapped/predict", PredictBody(kNames, {image_}));

  EXPECT_THAT(LabelsOf(plain.result(0)), ElementsAre("cat", "Hund", "Baseball_Bat"))
      << "the editor writes an alias instead of the value";
  EXPECT_THAT(LabelsOf(mapped.result(0)), ElementsAre("cat", "Hund", "Baseball_Bat", "Pferd"));
}

TEST_F(LabelConfigsTest, EachImageHasItsOwnControls) {
  Find({"cat"});
  constexpr char kTwo[] =
      R"(<View><Image name="left" value="$left"/><Image name="right" value="$right"/>
    <RectangleLabels name="smart" toName="left" smart="true"><Label value="cat"/></RectangleLabels>
    <RectangleLabels name="lrect" toName="left"><Label value="Cat"/></RectangleLabels>
    <RectangleLabels name="rrect" toName="right"><Label value="cat"/></RectangleLabels>
    <RectangleLabels name="second" toName="right"><Label value="cat"/></RectangleLabels></View>)";
  Start();

  const Reply reply = AskOfTask(kTwo, {{"left", image_}, {"right", PngDataUri(64, 48)}}, {});

  ASSERT_EQ(reply.status, 200) << reply.body;
  const json::array regions = reply.result(0).at("result").as_array();
  ASSERT_THAT(regions, SizeIs(2));
  EXPECT_EQ(regions[0].at("from_name"), "lrect") << "nothing goes into smart controls";
  EXPECT_EQ(regions[0].at("to_name"), "left");
  EXPECT_EQ(regions[0].at("value").at("rectanglelabels").at(0), "Cat");
  EXPECT_EQ(regions[1].at("from_name"), "rrect") << "the first of a kind";
  EXPECT_EQ(regions[1].at("to_name"), "right");
}

constexpr char kPages[] = R"(<View><Repeater on="$pages" indexFlag="{{idx}}">
    <Image name="page_{{idx}}" value="$pages[{{idx}}]"/>
    <RectangleLabels name="boxes_{{idx}}" toName="page_{{idx}}"><Label value="cat"/></RectangleLabels>
    <BrushLabels name="masks_{{idx}}" toName="page_{{idx}}"><Label value="cat"/></BrushLabels>
    <KeyPointLabels name="point_{{idx}}" toName="page_{{idx}}" smart="true"><Label value="cat"/></KeyPointLabels>
    </Repeater></View>)";

TEST_F(LabelConfigsTest, EveryPageOfARepeaterHasItsRegions) {
  Find({"cat"});
  Start();
  const json::object data = {{"pages", {image_, PngDataUri(320, 240, 9)}}};

  const Reply reply = AskOfTask(kPages, data, {});

  ASSERT_EQ(reply.status, 200) << reply.body;
  std::vector<std::string> places;
  const json::array regions = reply.result(0).at("result").as_array();
  for (const json::value& region : regions) {
    places.push_back(std::string(region.at("from_name").as_string()) + " on " +
                     std::string(region.at("to_name").as_string()));
    EXPECT_FALSE(region.as_object().contains("item_index"));
  }
  EXPECT_THAT(places, ElementsAre("boxes_0 on page_0", "masks_0 on page_0", "boxes_1 on page_1",
                                  "masks_1 on page_1"));
}

TEST_F(LabelConfigsTest, AClickIntoAPageOfARepeaterIsAnsweredThere) {
  Start();
  KeepQuestions();
  json::object click =
      Region("point_1", "keypointlabels", {{"x", 50}, {"y", 50}, {"keypointlabels", {"cat"}}}, {});
  click["to_name"] = "page_1";

  const Reply reply =
      AskOfTask(kPages, {{"pages", {PngDataUri(320, 240, 9), image_}}}, {std::move(click)});

  ASSERT_EQ(reply.status, 200) << reply.body;
  ASSERT_THAT(reply.result(0).at("result").as_array(), SizeIs(1));
  EXPECT_EQ(reply.result(0).at("result").at(0).at("from_name"), "masks_1");
  ASSERT_THAT(asked_, SizeIs(1));
  EXPECT_EQ(asked_[0].image_id(), ImageId(DecodedDataUri(image_)));
}

TEST_F(LabelConfigsTest, LabelsInTheTaskSayWhatIsWritten) {
  Find({"cat", "dog"});
  constexpr char kDynamic[] = R"(<View><Image name="image" value="$image"/>
    <RectangleLabels name="rect" toName="image" value="$classes"/></View>)";
  Harness& gateway = Start();

  const Reply cats = AskOfTask(kDynamic, {{"image", image_}, {"classes", {"Cat"}}}, {});
  const Reply dogs = AskOfTask(
      kDynamic, {{"image", image_}, {"classes", json::array{{{"value", "dog"}, {"alias", "d"}}}}},
      {});
  const Reply setup = gateway.Post("/setup", {{"project", "1.5"}, {"schema", kDynamic}});

  EXPECT_THAT(LabelsOf(cats.result(0)), ElementsAre("Cat"));
  EXPECT_THAT(LabelsOf(dogs.result(0)), ElementsAre("d"));
  EXPECT_EQ(setup.json().at("model_version"), cats.result(0).at("model_version"));
  EXPECT_EQ(dogs.result(0).at("model_version"), cats.result(0).at("model_version"));
}

// ---- What /setup says of a config.

TEST_F(LabelConfigsTest, SetupWarnsOfAConfigWithoutALabelForAnyClass) {
  Harness& gateway = Start();
  constexpr char kThings[] = R"(<View><Image name="image" value="$image"/>
    <RectangleLabels name="rect" toName="image"><Label value="thing"/></RectangleLabels></View>)";

  const Reply things = gateway.Post("/setup", {{"project", "1/2.5"}, {"schema", kThings}});
  const json::value listed = gateway.Get("/").json().at("warnings");
  const Reply cats = gateway.Post("/setup", {{"project", "1/2.5"}, {"schema", kSmart}});

  EXPECT_EQ(things.status, 200) << "predictions are asked for again once the labels are corrected";
  EXPECT_THAT(std::string(things.json().at("warning").as_string()),
              HasSubstr("no label for any class of the model, so nothing will be written; its "
                        "classes are cat, dog"));
  ASSERT_THAT(listed.as_array(), SizeIs(1));
  EXPECT_EQ(listed.at(0).at("profile"), "");
  EXPECT_EQ(listed.at(0).at("project"), "1/2");
  EXPECT_EQ(listed.at(0).at("warning"), things.json().at("warning"));
  EXPECT_FALSE(cats.json().as_object().contains("warning"));
  EXPECT_THAT(gateway.Get("/").json().at("warnings").as_array(), SizeIs(0));
}

TEST_F(LabelConfigsTest, SetupRefusesWhatCannotBeServed) {
  Harness& gateway = Start();
  const auto setup = [&](const std::string& controls) {
    return gateway.Post("/setup", {{"project", "1.5"},
                                   {"schema", "<View><Image name='image' value='$image'/>" +
                                                  controls + "</View>"}});
  };

  const Reply only_points = setup(
      "<KeyPointLabels name='k' toName='image' smart='true'><Label value='cat'/></KeyPointLabels>");
  const Reply no_labels = setup("<RectangleLabels name='r' toName='image'/>");
  const Reply other_image =
      setup("<Repeater on='$pages'><Rectangle name='r_{{idx}}' toName='page_{{idx}}'/></Repeater>");

  EXPECT_EQ(only_points.status, 400);
  EXPECT_THAT(only_points.body, HasSubstr("no control that can hold a mask; add <BrushLabels"));
  EXPECT_EQ(no_labels.status, 400);
  EXPECT_THAT(no_labels.body, HasSubstr("needed is one that has labels and isn't smart"));
  EXPECT_EQ(other_image.status, 400);
  EXPECT_THAT(other_image.body, HasSubstr("no control that marks regions on an image"));
  EXPECT_EQ(setup("<Rectangle name='r' toName='image'/>").status, 200);
  EXPECT_EQ(setup("<RectangleLabels name='r' toName='image' smart='true'><Label value='cat'/>"
                  "</RectangleLabels>")
                .status,
            200)
      << "clicks are answered";
}

TEST_F(LabelConfigsTest, ADetectorAloneGivesBoxesAndSaysOnceWhatIsMissing) {
  Find({"cat"});
  constexpr char kBoth[] = R"(<View><Image name="image" value="$image"/>
    <RectangleLabels name="rect" toName="image"><Label value="cat"/></RectangleLabels>
    <BrushLabels name="brush" toName="image"><Label value="cat"/></BrushLabels></View>)";
  constexpr char kMasks[] = R"(<View><Image name="image" value="$image"/>
    <BrushLabels name="brush" toName="image"><Label value="cat"/></BrushLabels></View>)";
  harness_ = std::make_unique<Harness>(HarnessOptions{.detector = services_.address()});
  harness_->AwaitModels();
  ::testing::internal::CaptureStderr();

  const Reply setup = harness_->Post("/setup", {{"project", "1.5"}, {"schema", kBoth}});
  const Reply first = harness_->Post("/predict", PredictBody(kBoth, {image_}));
  const Reply second = harness_->Post("/predict", PredictBody(kBoth, {image_}));
  const Reply masks = harness_->Post("/predict", PredictBody(kMasks, {image_}));
  const Reply masks_setup = harness_->Post("/setup", {{"project", "1.5"}, {"schema", kMasks}});

  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(std::string(setup.json().at("warning").as_string()), HasSubstr("has no segmenter"));
  for (const Reply& reply : {first, second}) {
    ASSERT_EQ(reply.status, 200) << reply.body;
    EXPECT_THAT(LabelsOf(reply.result(0)), ElementsAre("cat"));
    EXPECT_EQ(reply.result(0).at("model_version"), setup.json().at("model_version"));
  }
  const std::size_t said = log.find("label_config.warning");
  EXPECT_NE(said, log.npos);
  EXPECT_EQ(log.find("label_config.warning", said + 1), log.npos) << log;
  EXPECT_EQ(masks.status, 400) << masks.body;
  EXPECT_EQ(masks_setup.status, 400);
  EXPECT_THAT(masks_setup.body, HasSubstr("takes masks only"));
}

TEST_F(LabelConfigsTest, WithoutASegmenterAnImageForMasksAloneIsLeftOut) {
  Find({"cat"});
  constexpr char kTwoImages[] = R"(<View>
    <Image name="masked" value="$image"/><Image name="boxed" value="$image"/>
    <BrushLabels name="brush" toName="masked"><Label value="cat"/></BrushLabels>
    <RectangleLabels name="rect" toName="boxed"><Label value="cat"/></RectangleLabels></View>)";
  harness_ = std::make_unique<Harness>(HarnessOptions{.detector = services_.address()});
  harness_->AwaitModels();

  const Reply setup = harness_->Post("/setup", {{"project", "1.5"}, {"schema", kTwoImages}});
  const Reply reply = harness_->Post("/predict", PredictBody(kTwoImages, {image_}));

  EXPECT_THAT(std::string(setup.json().at("warning").as_string()), HasSubstr("has no segmenter"));
  ASSERT_EQ(reply.status, 200) << reply.body;
  ASSERT_THAT(LabelsOf(reply.result(0)), ElementsAre("cat"));
  EXPECT_EQ(reply.result(0).at("result").at(0).at("to_name"), "boxed");
}

}  // namespace
}  // namespace gateway::testing
