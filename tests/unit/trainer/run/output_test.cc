// What people see of a training.
#include <gmock/gmock.h>

#include <boost/json.hpp>
#include <limits>
#include <opencv2/core.hpp>
#include <pugixml.hpp>
#include <sstream>

#include "trainer/run/comparison.h"
#include "trainer/run/curves.h"
#include "trainer/run/display.h"
#include "trainer/run/history.h"
#include "trainer/run/report.h"

namespace trainer {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

boost::json::object Json(const char* text) { return boost::json::parse(text).as_object(); }

TEST(DisplayTest, ABarFitsIntoItsTerminal) {
  Progress progress{.step = 30,
                    .steps = 120,
                    .epoch = 2,
                    .epochs = 8,
                    .loss = 1.25,
                    .learning_rate = 6e-5,
                    .best_ap = 0.5,
                    .left = absl::Seconds(185)};

  EXPECT_EQ(BarText(progress, 100),
            " 25% [=======                       ] epoch 2/8  loss 1.250  lr 6e-05  best AP "
            "0.500  left 3:05 min");
  for (int width = 0; width < 120; ++width)
    EXPECT_LE(static_cast<int>(BarText(progress, width).size()), width);
  progress.best_ap = -1;
  EXPECT_THAT(BarText(progress, 100), Not(HasSubstr("AP")));
}

TEST(DisplayTest, DurationsAreShort) {
  EXPECT_EQ(ShortDuration(absl::Seconds(59)), "59 s");
  EXPECT_EQ(ShortDuration(absl::Seconds(60)), "1:00 min");
  EXPECT_EQ(ShortDuration(absl::Hours(27) + absl::Minutes(5)), "27:05 h");
}

TEST(DisplayTest, ProgramsGetTheLogsLinesAndNothingElse) {
  std::ostringstream out;
  {
    Display display(DisplayKind::kJson, out);
    display.Show(Json(R"({"event":"step","step":1})"));
    display.Show(Progress{.step = 1, .steps = 1}, absl::UnixEpoch());
  }
  EXPECT_EQ(out.str(), "{\"event\":\"step\",\"step\":1}\n");
}

TEST(DisplayTest, WithoutATerminalThereAreNoControlCharacters) {
  std::ostringstream out;
  {
    Display display(DisplayKind::kLines, out);
    display.Show(Json(R"({"event":"step","step":1})"));
    display.Show(Progress{.step = 1, .steps = 9}, absl::UnixEpoch());
    display.Show(Progress{.step = 2, .steps = 9}, absl::UnixEpoch());  // too soon
    display.Show(Progress{.step = 9, .steps = 9}, absl::UnixEpoch());  // the last one
    display.Show(Json(R"({"event":"evaluation","epoch":3,"ap":0.25,"ap50":0.5,"best":true})"));
    display.Show(Json(R"({"event":"evaluation","epoch":4,"ap":null,"ap50":null,"best":false})"));
    display.Show(Json(R"({"event":"saved","step":9})"));
    display.Show(Json(R"({"event":"end","message":"finished"})"));
  }
  EXPECT_EQ(out.str(),
            "step 1/9  epoch 0/0  loss 0.000  lr 0  left 0 s\n"
            "step 9/9  epoch 0/0  loss 0.000  lr 0  left 0 s\n"
            "epoch 3: AP 0.250, AP50 0.500, the best so far\n"
            "epoch 4: AP none, AP50 none\n"
            "finished\n");
}

TEST(DisplayTest, ATerminalsBarGivesWayToLines) {
  std::ostringstream out;
  {
    Display display(DisplayKind::kBar, out, 40);
    display.Show(Progress{.step = 1, .steps = 9}, absl::UnixEpoch());
    display.Show(Json(R"({"event":"end","message":"finished"})"));
    display.Show(Progress{.step = 2, .steps = 9}, absl::UnixEpoch() + absl::Seconds(1));
  }
  EXPECT_THAT(out.str(), AllOf(HasSubstr("\r\x1b[Kfinished\n"), testing::EndsWith("\n")));
}

History SomeHistory() {
  History history;
  for (int i = 1; i <= 20; ++i) {
    auto event = Json(R"({"event":"step","losses":{"classes":1.5,"boxes":0.5}})");
    event["step"] = 10 * i;
    event["learning_rate"] = 1e-4 / i;
    history.Add(event);
  }
  history.Add(Json(R"({"event":"evaluation","step":100,"ap":0.3,"ap50":0.6})"));
  history.Add(Json(R"({"event":"evaluation","step":200,"ap":0.4,"ap50":0.7})"));
  return history;
}

TEST(CurvesTest, AreAnSvgWithALineACurve) {
  const std::string svg = DrawCurves(SomeHistory());

  pugi::xml_document document;
  ASSERT_TRUE(document.load_string(svg.c_str())) << svg;
  EXPECT_STREQ(document.document_element().name(), "svg");
  EXPECT_EQ(document.select_nodes("//polyline").size(), 5u);  // two losses, rate, AP, AP50
  EXPECT_EQ(document.select_nodes("//circle").size(), 4u);
  for (const char* word : {"classes", "boxes", "learning rate", "AP50", "200"}) {
    EXPECT_THAT(svg, HasSubstr(word));
  }
}

TEST(HistoryTest, RemembersUnloadableImagesOnceAndNoMissingAp) {
  History history;
  history.Add(Json(R"({"event":"finding","message":"1 boxes, left out"})"));
  history.Add(Json(R"({"event":"finding","images":{"a.jpg":"gone","b.jpg":"damaged"}})"));
  history.Add(Json(R"({"event":"finding","images":{"a.jpg":"gone again"}})"));
  history.Add(Json(R"({"event":"evaluation","step":1,"ap":null,"ap50":null})"));

  EXPECT_THAT(history.unloadable, testing::ElementsAre(testing::Pair("a.jpg", "gone"),
                                                       testing::Pair("b.jpg", "damaged")));
  EXPECT_TRUE(history.evaluations.empty());
}

TEST(CurvesTest, WithoutEvaluationsOrStepsThereIsStillAPicture) {
  History history;
  EXPECT_TRUE(pugi::xml_document().load_string(DrawCurves(history).c_str()));
  history.steps.push_back({.step = 1,
                           .learning_rate = 0,
                           .losses = {{"a<b", std::numeric_limits<double>::quiet_NaN()}}});
  const std::string svg = DrawCurves(history);
  EXPECT_TRUE(pugi::xml_document().load_string(svg.c_str()));
  EXPECT_THAT(svg, AllOf(Not(HasSubstr("nan")), HasSubstr("a&lt;b")));
}

TEST(ReportTest, SaysWhatWasLearnedAndShowsTheWorst) {
  Report report{
      .model = "rtmdet-tiny",
      .classes = {"cat", "a|b"},
      .train = {{.objects = 7, .images = 5}, {.objects = 2, .images = 1}},
      .validation = {{.objects = 3, .images = 2}, {}},
      .train_images = 6,
      .validation_images = 2,
      .revision = "abc",
      .findings = {"3 boxes_without width, left out"},
      .recipe = {{"epochs", "40"}},
      .end = "Finished after 3 min.",
      .scores =
          ReportedScores{.ap = 0.5, .ap50 = 0.75, .ap75 = 0.25, .by_class = {{0.5, 0.75}, {}}},
      .worst = {{.link = "worst/1.jpg", .name = "x_1.jpg", .missed = 2, .false_alarms = 1}}};

  const std::string text = WriteReport(report);

  for (const char* part :
       {"| cat | 7 in 5 | 3 in 2 |", "| a\\|b | 2 in 1 | 0 in 0 |", "**AP 0.500**",
        "| cat | 0.500 | 0.750 |", "| a\\|b | none | none |", "boxes\\_without", "| epochs | 40 |",
        "(worst/1.jpg)", "2 missed, 1 false alarms", "(curves.svg)"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  report.mask_scores = report.scores;
  EXPECT_THAT(WriteReport(report), HasSubstr("Masks of `best.pth`"));
  report.scores->ap = report.scores->ap50 = report.scores->ap75 = std::nullopt;
  EXPECT_THAT(WriteReport(report), HasSubstr("**AP none**, AP50 none, AP75 none"))
      << "0 would be a measurement";
  report.scores = std::nullopt;
  report.worst.clear();
  EXPECT_THAT(WriteReport(report),
              AllOf(HasSubstr("Nothing was measured"), Not(HasSubstr("Worst"))));
}

TEST(ComparisonTest, TruthIsOnTheLeftAndDetectionsOnTheRight) {
  const TrainingImage image{.image = cv::Mat(100, 200, CV_8UC3, cv::Scalar::all(128)),
                            .objects = {{.box = {50, 40, 90, 80}, .class_index = 0}}};

  const cv::Mat drawn = DrawComparison(
      image, std::vector<Detection>{{.box = {150, 40, 190, 80}, .score = 0.5F}}, {"cat"});

  ASSERT_EQ(drawn.cols, 2 * 200 + 8);
  const cv::Vec3b grey(128, 128, 128);
  EXPECT_NE(drawn.at<cv::Vec3b>(60, 50), grey);
  EXPECT_EQ(drawn.at<cv::Vec3b>(60, 208 + 50), grey);
  EXPECT_NE(drawn.at<cv::Vec3b>(60, 208 + 150), grey);
  EXPECT_EQ(drawn.at<cv::Vec3b>(60, 150), grey);
  EXPECT_EQ(DrawComparison({.image = cv::Mat(1000, 2000, CV_8UC3), .objects = {}}, {}, {}).cols,
            2 * 720 + 8);
}

}  // namespace
}  // namespace trainer
