#include "dataset/label_studio_reader.h"

#include <gmock/gmock.h>

#include <cmath>
#include <numbers>
#include <string>
#include <string_view>

#include "label_studio/brush_rle.h"
#include "label_studio/json_text.h"
#include "tests/testing/status_matchers.h"

namespace dataset {
namespace {

using duet_testing::StatusIs;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// All regions are on an image of 200x100.
std::string Result(std::string_view id, std::string_view type, std::string_view value,
                   std::string_view more = "") {
  std::string json = "{\"original_width\":200,\"original_height\":100,\"image_rotation\":0,";
  json.append("\"to_name\":\"image\",\"id\":\"").append(id);
  json.append("\",\"type\":\"").append(type).append("\",\"from_name\":\"").append(type);
  return json.append("\",").append(more).append("\"value\":{").append(value).append("}}");
}

std::string Rectangle(std::string_view id, std::string_view geometry, std::string_view label,
                      std::string_view more = "") {
  std::string value(geometry);
  value.append(",\"rectanglelabels\":[\"").append(label).append("\"]");
  return Result(id, "rectanglelabels", value, more);
}

constexpr std::string_view kBox = R"("x":10,"y":20,"width":30,"height":40,"rotation":0)";

// A filled rectangle of pixels.
vision::Mask Filled(int x_begin, int y_begin, int x_end, int y_end) {
  vision::Mask mask{{200, 100}, {}};
  for (int y = y_begin; y < y_end; ++y) mask.spans.push_back({y, x_begin, x_end});
  return mask;
}

std::string Brush(std::string_view id, const vision::Mask& mask, std::string_view label,
                  std::string_view more = "") {
  std::string value = "\"format\":\"rle\",\"rle\":";
  label_studio::AppendJsonBytes(label_studio::EncodeBrushRle(mask), &value);
  value.append(",\"brushlabels\":[\"").append(label).append("\"]");
  return Result(id, "brushlabels", value, more);
}

std::string Annotation(int id, std::string_view results, std::string_view more = "") {
  return "{\"id\":" + std::to_string(id) + "," + std::string(more) + "\"result\":[" +
         std::string(results) + "]}";
}

std::string Task(int id, std::string_view annotations,
                 std::string_view data = R"("image":"/data/upload/1/a.jpg")") {
  return "{\"id\":" + std::to_string(id) + ",\"data\":{" + std::string(data) +
         "},\"predictions\":[{\"result\":[" + Rectangle("p", kBox, "predicted") +
         "]}],\"drafts\":[{\"result\":[" + Rectangle("d", kBox, "draft") + "]}],\"annotations\":[" +
         std::string(annotations) + "]}";
}

// A file of one task with one annotation.
std::string Export(std::string_view results) {
  return "[" + Task(17, Annotation(5, results)) + "]";
}

Dataset Read(std::string_view json, Findings* findings,
             const LabelStudioReadOptions& options = {}) {
  absl::StatusOr<Dataset> dataset = ReadLabelStudio(json, options, findings);
  EXPECT_TRUE(dataset.ok()) << dataset.status();
  return dataset.ok() ? *std::move(dataset) : Dataset{};
}

std::vector<Object> Objects(std::string_view results, Findings* findings,
                            const LabelStudioReadOptions& options = {}) {
  const Dataset dataset = Read(Export(results), findings, options);
  return dataset.samples.empty() ? std::vector<Object>{} : dataset.samples[0].objects;
}

std::vector<Object> Objects(std::string_view results) {
  Findings findings;
  std::vector<Object> objects = Objects(results, &findings);
  EXPECT_TRUE(findings.empty()) << findings.Lines().front();
  return objects;
}

std::string Config(std::string_view controls) {
  return "<View><Image name='image' value='$image'/>" + std::string(controls) + "</View>";
}

TEST(LabelStudioReaderTest, ReadsARectangleInPixels) {
  Findings findings;

  const Dataset dataset = Read(Export(Rectangle("a", kBox, "cat")), &findings);

  EXPECT_THAT(dataset.classes, ElementsAre("cat"));
  ASSERT_THAT(dataset.samples, SizeIs(1));
  const Sample& sample = dataset.samples[0];
  EXPECT_EQ(sample.id, "17");
  EXPECT_EQ(sample.annotation_id, "5");
  EXPECT_EQ(sample.image, "/data/upload/1/a.jpg");
  EXPECT_EQ(sample.size, (vision::Size{200, 100}));
  ASSERT_THAT(sample.objects, SizeIs(1));
  EXPECT_EQ(sample.objects[0].box, (vision::Box{20, 20, 80, 60}));
  EXPECT_EQ(sample.objects[0].area, 2400);
  EXPECT_EQ(sample.objects[0].mask, std::nullopt);
  EXPECT_EQ(sample.objects[0].rotated_box, std::nullopt);
  EXPECT_TRUE(findings.empty());
}

TEST(LabelStudioReaderTest, ATurnedRectangleTurnsClockwiseAboutItsTopLeftCorner) {
  const auto objects =
      Objects(Rectangle("a", R"("x":50,"y":20,"width":20,"height":10,"rotation":90)", "cat"));

  // The corner stays at (100, 20); what went right goes down, what went down goes left.
  ASSERT_THAT(objects, SizeIs(1));
  ASSERT_TRUE(objects[0].rotated_box);
  EXPECT_NEAR(objects[0].rotated_box->center.x, 95, 1e-4);
  EXPECT_NEAR(objects[0].rotated_box->center.y, 40, 1e-4);
  EXPECT_EQ(objects[0].rotated_box->width, 40);
  EXPECT_EQ(objects[0].rotated_box->height, 10);
  EXPECT_NEAR(objects[0].rotated_box->angle, std::numbers::pi / 2, 1e-6);
  EXPECT_NEAR(objects[0].box.x_min, 90, 1e-4);
  EXPECT_NEAR(objects[0].box.x_max, 100, 1e-4);
  EXPECT_NEAR(objects[0].box.y_max, 60, 1e-4);
  EXPECT_NEAR(objects[0].area, 400, 1e-3);
}

TEST(LabelStudioReaderTest, ReadsBrushPolygonAndEllipseAsMasks) {
  const auto objects = Objects(
      Brush("a", Filled(10, 20, 30, 40), "cat") + "," +
      Result(
          "b", "polygonlabels",
          R"("points":[[50,10],[60,10],[60,30],[50,30]],"closed":true,"polygonlabels":["dog"])") +
      "," +
      Result("c", "ellipselabels",
             R"("x":75,"y":50,"radiusX":10,"radiusY":5,"rotation":90,"ellipselabels":["cow"])"));

  ASSERT_THAT(objects, SizeIs(3));
  EXPECT_EQ(objects[0].mask, Filled(10, 20, 30, 40));
  EXPECT_EQ(objects[0].box, (vision::Box{10, 20, 30, 40}));
  EXPECT_EQ(objects[0].area, 400);
  EXPECT_EQ(objects[1].mask, Filled(100, 10, 120, 30));
  EXPECT_EQ(objects[1].box, (vision::Box{100, 10, 120, 30}));
  // Radii of 20 and 5 pixels, turned: 5 wide and 20 high.
  ASSERT_TRUE(objects[2].mask);
  EXPECT_NEAR(objects[2].box.x_min, 145, 1e-3);
  EXPECT_NEAR(objects[2].box.y_max, 70, 1e-3);
  EXPECT_NEAR(objects[2].area, std::numbers::pi * 100, 6);
}

TEST(LabelStudioReaderTest, TheNewestAnnotationThatIsNotCancelledCounts) {
  const auto label = [](std::string_view name) { return Rectangle("a", kBox, name); };
  const std::string json =
      "[" +
      Task(1, Annotation(1, label("old"), R"("created_at":"2026-01-01T00:00:00Z",)") + "," +
                  Annotation(3, label("new"), R"("created_at":"2026-03-01T00:00:00Z",)") + "," +
                  Annotation(2, label("mid"), R"("created_at":"2026-02-01T00:00:00Z",)") + "," +
                  Annotation(4, label("cancelled"),
                             R"("created_at":"2026-04-01T00:00:00Z","was_cancelled":true,)")) +
      "," + Task(2, Annotation(9, label("later"), "") + "," + Annotation(10, label("latest"), "")) +
      "," + Task(3, Annotation(5, label("skipped"), R"("was_cancelled":true,)")) + "," +
      Task(4, "") + "," + Task(5, Annotation(6, "")) + ",null]";
  Findings findings;

  const Dataset dataset = Read(json, &findings);

  ASSERT_THAT(dataset.samples, SizeIs(3));
  EXPECT_THAT(dataset.classes, ElementsAre("latest", "new"));
  EXPECT_EQ(dataset.samples[0].annotation_id, "3");
  EXPECT_EQ(dataset.samples[1].annotation_id, "10");
  EXPECT_EQ(dataset.samples[2].id, "5");
  EXPECT_THAT(dataset.samples[2].objects, IsEmpty()) << "looked at, and nothing there";
  EXPECT_THAT(findings.Lines(),
              ElementsAre("1 tasks that were skipped, left out; the first: task 3",
                          "1 tasks without an annotation, left out; the first: task 4"));
}

TEST(LabelStudioReaderTest, ReadsTheApisAnswersToo) {
  const std::string task = Task(17, Annotation(5, Rectangle("a", kBox, "cat")));
  std::string older = task;
  older.replace(older.find("\"annotations\""), 13, "\"completions\"");
  for (const std::string& json :
       {task, "{\"total\":1,\"tasks\":[" + task + "]}", older, "[" + older + "]"}) {
    Findings findings;
    const Dataset dataset = Read(json, &findings);
    ASSERT_THAT(dataset.samples, SizeIs(1));
    EXPECT_THAT(dataset.samples[0].objects, SizeIs(1));
    EXPECT_EQ(dataset.samples[0].id, "17");
  }
}

TEST(LabelStudioReaderTest, ReadsJsonMin) {
  const std::string box = R"("x":10,"y":20,"width":30,"height":40,"rotation":0,)"
                          R"("original_width":200,"original_height":100)";
  const std::string record =
      R"({"image":"a.jpg","id":17,"annotation_id":5,"annotator":1,"created_at":"2026-01-02",)"
      R"("box":[{)" +
      box +
      R"(,"rectanglelabels":["cat"]},{"x":1,"y":2,"width":3,"height":4,)"
      R"("original_width":200,"original_height":100,"rectanglelabels":["dog"]}],"plain":[{)" +
      R"("x":50,"y":20,"width":30,"height":40,"original_width":200,"original_height":100}],)"
      R"("labels":[{"labels":["cow"],"x":50,"y":20,"width":30,"height":40,"original_width":200,)"
      R"("original_height":100}],"choice":"day"})";
  const std::string older =
      R"({"image":"a.jpg","id":17,"annotation_id":4,"created_at":"2026-01-01","box":[]})";
  Findings findings;

  const Dataset dataset = Read("[" + older + "," + record + "," + older + "]", &findings);

  ASSERT_THAT(dataset.samples, SizeIs(1));
  EXPECT_EQ(dataset.samples[0].image, "a.jpg");
  EXPECT_EQ(dataset.samples[0].annotation_id, "5");
  EXPECT_THAT(dataset.classes, ElementsAre("cat", "cow", "dog"));
  ASSERT_THAT(dataset.samples[0].objects, SizeIs(3));
  EXPECT_EQ(dataset.samples[0].objects[0].box, (vision::Box{20, 20, 80, 60}));
  EXPECT_EQ(dataset.samples[0].objects[2].box, (vision::Box{100, 20, 160, 60}));
  EXPECT_EQ(dataset.samples[0].objects[2].class_index, 1);
}

TEST(LabelStudioReaderTest, AShapeAndItsLabelsAreOneRegion) {
  const std::string shape(kBox);
  const auto objects = Objects(Result("a", "rectangle", shape) + "," +
                               Result("a", "labels", shape + R"(,"labels":["cat"])"));
  ASSERT_THAT(objects, SizeIs(1));
  EXPECT_EQ(objects[0].box, (vision::Box{20, 20, 80, 60}));
}

TEST(LabelStudioReaderTest, ABoxAndAMaskOfOneThingAreOneObject) {
  // The mask is a bit smaller than the box; another thing of the class is elsewhere, one of another
  // class at the same place.
  const auto objects =
      Objects(Rectangle("a", kBox, "cat") + "," + Brush("b", Filled(22, 24, 78, 58), "cat") + "," +
              Brush("c", Filled(150, 10, 160, 20), "cat") + "," +
              Brush("d", Filled(22, 24, 78, 58), "dog"));

  ASSERT_THAT(objects, SizeIs(3));
  EXPECT_EQ(objects[0].box, (vision::Box{20, 20, 80, 60})) << "what was drawn as a box stays";
  EXPECT_EQ(objects[0].mask, Filled(22, 24, 78, 58));
  EXPECT_EQ(objects[1].box, (vision::Box{150, 10, 160, 20}));
  EXPECT_EQ(objects[2].class_index, 1);
}

TEST(LabelStudioReaderTest, TheBestPairIsJoinedAndOnlyOnce) {
  const std::string results =
      Rectangle("a", R"("x":10,"y":20,"width":30,"height":40)", "cat") + "," +
      Rectangle("b", R"("x":12,"y":20,"width":30,"height":40)", "cat") + "," +
      Brush("c", Filled(24, 20, 84, 60), "cat") + "," + Brush("d", Filled(20, 20, 80, 60), "cat");

  const auto objects = Objects(results);

  ASSERT_THAT(objects, SizeIs(2));
  EXPECT_EQ(objects[0].mask, Filled(20, 20, 80, 60));
  EXPECT_EQ(objects[1].mask, Filled(24, 20, 84, 60));

  Findings findings;
  EXPECT_THAT(Objects(results, &findings, {.min_join_iou = 2}), SizeIs(4)) << "never";
}

TEST(LabelStudioReaderTest, LinkedRegionsAreOneObjectWhereverTheyAre) {
  const vision::Mask far = Filled(150, 10, 160, 20);
  for (const std::string& results :
       {Rectangle("a", kBox, "cat") + "," + Brush("b", far, "cat", R"("parentID":"a",)"),
        Rectangle("a", kBox, "cat") + "," + Brush("b", far, "cat") +
            R"(,{"type":"relation","from_id":"b","to_id":"a","direction":"right"})"}) {
    const auto objects = Objects(results);
    ASSERT_THAT(objects, SizeIs(1));
    EXPECT_EQ(objects[0].mask, far);
    EXPECT_EQ(objects[0].box, (vision::Box{20, 20, 80, 60}));
  }
  // Related things of two classes are two things.
  EXPECT_THAT(Objects(Rectangle("a", kBox, "cat") + "," + Brush("b", far, "dog") +
                      R"(,{"type":"relation","from_id":"b","to_id":"a"})"),
              SizeIs(2));
  // Two parts of one mask.
  const auto objects =
      Objects(Rectangle("a", kBox, "cat") + "," +
              Brush("b", Filled(20, 20, 80, 30), "cat", R"("parentID":"a",)") + "," +
              Brush("c", Filled(20, 30, 80, 60), "cat", R"("parentID":"a",)"));
  ASSERT_THAT(objects, SizeIs(1));
  EXPECT_EQ(objects[0].mask, Filled(20, 20, 80, 60));
}

TEST(LabelStudioReaderTest, AClassIsCalledByTheAliasAsForTheSdk) {
  const auto config = Config(
      "<RectangleLabels name='rectanglelabels' toName='image'><Label value='Cat' "
      "alias='cat'/><Label value='dog'/></RectangleLabels><BrushLabels name='brushlabels' "
      "toName='image'><Label value='cat'/><Label value='bird'/></BrushLabels>");
  Findings findings;

  const Dataset dataset =
      Read(Export(Rectangle("a", kBox, "Cat") + "," +
                  Rectangle("b", R"("x":60,"y":20,"width":30,"height":40)", "cat") + "," +
                  Rectangle("c", R"("x":1,"y":1,"width":3,"height":4)", "zebra")),
           &findings, {.label_config = config});

  EXPECT_THAT(dataset.classes, ElementsAre("cat", "dog", "bird", "zebra"));
  EXPECT_EQ(dataset.samples[0].objects[0].class_index, 0);
  EXPECT_EQ(dataset.samples[0].objects[1].class_index, 0);
  EXPECT_EQ(dataset.samples[0].objects[2].class_index, 3);
  EXPECT_EQ(findings.count("labels that the label config doesn't have, classes all the same"), 1U);
}

TEST(LabelStudioReaderTest, AliasesAreThoseOfTheControlInUse) {
  const auto config = Config(
      "<Labels name='names' toName='image'><Label value='1' alias='one'/></Labels>"
      "<Rectangle name='r' toName='image'/>"
      "<BrushLabels name='brushlabels' toName='image'><Label value='1' "
      "alias='uno'/></BrushLabels>");
  std::string labels = Result("a", "labels", std::string(kBox) + R"(,"labels":["1"])");
  labels.replace(labels.find("\"from_name\":\"labels\""), 20, "\"from_name\":\"names\" ");
  Findings findings;

  const Dataset dataset = Read(Export(Result("a", "rectangle", kBox) + "," + labels), &findings,
                               {.label_config = config});

  EXPECT_THAT(dataset.classes, ElementsAre("one", "uno"));
  ASSERT_THAT(dataset.samples[0].objects, SizeIs(1));
  EXPECT_EQ(dataset.samples[0].objects[0].class_index, 0);
}

TEST(LabelStudioReaderTest, SeveralLabelsAreSeveralObjectsAndNoneIsNone) {
  Findings findings;
  const std::string results =
      Result("a", "rectanglelabels", std::string(kBox) + R"(,"rectanglelabels":["cat","dog"])") +
      "," + Result("b", "rectangle", kBox);

  EXPECT_THAT(Objects(results, &findings), SizeIs(2));
  EXPECT_EQ(findings.count("regions with several labels, an object for each"), 1U);
  EXPECT_EQ(findings.count("regions without a label, left out"), 1U);

  const Dataset dataset = Read(Export(results), &findings, {.unlabeled_class = "thing"});
  EXPECT_THAT(dataset.classes, ElementsAre("cat", "dog", "thing"));
  EXPECT_THAT(dataset.samples[0].objects, SizeIs(3));
}

TEST(LabelStudioReaderTest, AListOfImagesGivesASampleEach) {
  const auto config = std::string(
      "<View><Image name='image' valueList='$pages'/><RectangleLabels name='rectanglelabels' "
      "toName='image'><Label value='cat'/></RectangleLabels></View>");
  const std::string json =
      "[" +
      Task(17,
           Annotation(5, Rectangle("a", kBox, "cat", R"("item_index":1,)") + "," +
                             Rectangle("b", kBox, "cat", R"("item_index":7,)")),
           R"("pages":["a.jpg","b.jpg"],"cover":"c.jpg")") +
      "]";
  Findings findings;

  const Dataset dataset = Read(json, &findings, {.label_config = config});

  ASSERT_THAT(dataset.samples, SizeIs(2));
  EXPECT_EQ(dataset.samples[0].id, "17/0");
  EXPECT_THAT(dataset.samples[0].objects, IsEmpty());
  EXPECT_EQ(dataset.samples[1].id, "17/1");
  EXPECT_EQ(dataset.samples[1].image, "b.jpg");
  EXPECT_THAT(dataset.samples[1].objects, SizeIs(1));
  EXPECT_EQ(findings.count("regions on images that the task doesn't have, left out"), 1U);
}

TEST(LabelStudioReaderTest, LabelsOfTheTaskAreKnown) {
  const std::string config = Config(
      "<RectangleLabels name='rectanglelabels' toName='image' value='$classes'>"
      "<Label value='zoo'/></RectangleLabels>");
  const std::string json =
      "[" +
      Task(17, Annotation(5, Rectangle("a", kBox, "cat") + "," + Rectangle("b", kBox, "stray")),
           R"("image":"a.jpg","classes":[{"value":"Cat","alias":"cat"}])") +
      "]";
  Findings findings;

  const Dataset dataset = Read(json, &findings, {.label_config = config});

  EXPECT_THAT(dataset.classes, ElementsAre("zoo", "cat", "stray"));
  EXPECT_THAT(findings.Lines(),
              ElementsAre("1 labels that the label config doesn't have, classes all the same; the "
                          "first: 'stray' in task 17"));
}

TEST(LabelStudioReaderTest, APageOfARepeaterIsAnImage) {
  const std::string config =
      "<View><Repeater on='$pages' indexFlag='{{idx}}'><Image name='page_{{idx}}' "
      "value='$pages[{{idx}}].url'/><RectangleLabels name='box_{{idx}}' toName='page_{{idx}}'>"
      "<Label value='cat'/></RectangleLabels></Repeater></View>";
  std::string box = Rectangle("a", kBox, "cat");
  box.replace(box.find("\"to_name\":\"image\""), 17, "\"to_name\":\"page_1\"");
  box.replace(box.find("\"from_name\":\"rectanglelabels\""), 29, "\"from_name\":\"box_1\"");
  Findings findings;

  const Dataset dataset =
      Read("[" + Task(17, Annotation(5, box), R"("pages":[{"url":"a.jpg"},{"url":"b.jpg"}])") + "]",
           &findings, {.label_config = config});

  ASSERT_THAT(dataset.samples, SizeIs(2));
  EXPECT_THAT(dataset.samples[0].objects, IsEmpty());
  EXPECT_EQ(dataset.samples[1].image, "b.jpg");
  EXPECT_THAT(dataset.samples[1].objects, SizeIs(1));
  EXPECT_TRUE(findings.empty()) << findings.Lines().front();
}

TEST(LabelStudioReaderTest, SeveralImageTagsNeedTheLabelConfig) {
  const auto config = std::string(
      "<View><Image name='image' value='$left'/><Image name='other' value='$right'/>"
      "<RectangleLabels name='rectanglelabels' toName='image,other'><Label value='cat'/>"
      "</RectangleLabels></View>");
  std::string right = Rectangle("b", R"("x":0,"y":0,"width":10,"height":10)", "cat");
  right.replace(right.find("\"to_name\":\"image\""), 17, "\"to_name\":\"other\"");
  const auto json = [&](std::string_view data) {
    return "[" + Task(17, Annotation(5, Rectangle("a", kBox, "cat") + "," + right), data) + "]";
  };
  const std::string two = json(R"("left":"a.jpg","right":"b.jpg")");
  Findings findings;

  const Dataset dataset = Read(two, &findings, {.label_config = config});

  ASSERT_THAT(dataset.samples, SizeIs(2));
  EXPECT_EQ(dataset.samples[1].id, "17/other/0");
  EXPECT_EQ(dataset.samples[1].image, "b.jpg");
  ASSERT_THAT(dataset.samples[1].objects, SizeIs(1));
  EXPECT_EQ(dataset.samples[1].objects[0].box, (vision::Box{0, 0, 20, 10}));
  const auto code = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(
      ReadLabelStudio(two, {}, &findings),
      StatusIs(code, HasSubstr("several fields of its 'data' look like images (left, right)")));
  EXPECT_THAT(ReadLabelStudio(json(R"("image":"a.jpg")"), {}, &findings),
              StatusIs(code, HasSubstr("regions on several images ('image', 'other')")));
  EXPECT_THAT(ReadLabelStudio(json(R"("text":"a")"), {}, &findings),
              StatusIs(code, HasSubstr("task 17: no field of its 'data' looks like an image")));
}

TEST(LabelStudioReaderTest, WhatCannotBeUsedIsLeftOutAndCounted) {
  Findings findings;
  std::string unsized_box = Rectangle("u", kBox, "cat");
  unsized_box.replace(unsized_box.find("\"original_width\":200"), 20, "\"original_width\":null");
  std::string larger = Rectangle("l", kBox, "cat");
  larger.replace(larger.find("\"original_width\":200"), 20, "\"original_width\":300");

  const auto objects = Objects(
      Rectangle("a", R"("x":-10,"y":20,"width":20,"height":40)", "cat") + "," +  // clipped
          Rectangle("b", R"("x":10,"y":20,"width":0,"height":40)", "cat") + "," +
          Rectangle("c", R"("x":100,"y":20,"width":5,"height":40)", "cat") + "," +
          Rectangle("d", R"("x":10,"y":"20","width":5,"height":40)", "cat") + "," +
          Result("e", "brushlabels", R"("rle":[1,2,3],"brushlabels":["cat"])") + "," +
          Result("f", "polygonlabels", R"("points":[[1,1],[2,2]],"polygonlabels":["cat"])") + "," +
          Result("g", "keypointlabels", R"("x":1,"y":1,"width":0.5,"keypointlabels":["cat"])") +
          "," + Result("h", "choices", R"("choices":["day"])") + "," + unsized_box + "," + larger +
          "," + Result("v", "vectorlabels", R"("vertices":[],"vectorlabels":["cat"])"),
      &findings);

  ASSERT_THAT(objects, SizeIs(1));
  EXPECT_EQ(objects[0].box, (vision::Box{0, 20, 20, 60}));
  EXPECT_THAT(
      findings.Lines(),
      ElementsAre(
          "3 damaged regions, left out; the first: region 'd' of task 17",
          "1 keypoints, left out; the first: region 'g' of task 17",
          "1 results that draw no region (choices, texts, …), left out; the first: type 'choices' "
          "in task 17",
          "1 regions without original_width and original_height, left out; the first: region 'u' "
          "of task 17",
          "1 regions of kinds that are not read, left out; the first: region 'v' of task 17",
          "2 empty regions, or outside of the image, left out; the first: region 'b' of task 17",
          "1 regions whose image had another size than for the first region, left out; the first: "
          "region 'l' of task 17"));
}

TEST(LabelStudioReaderTest, FilesThatAreNoExportAreRefused) {
  const auto refusal = [](std::string_view json) {
    Findings findings;
    return std::string(ReadLabelStudio(json, {}, &findings).status().message());
  };
  EXPECT_THAT(refusal("["), HasSubstr("not JSON"));
  EXPECT_THAT(refusal("[]"), HasSubstr("has no tasks"));
  EXPECT_THAT(refusal("{\"images\":[],\"annotations\":[{}]}"), HasSubstr("has no tasks"));
  EXPECT_THAT(refusal("{\"images\":[],\"categories\":[{\"id\":0}]}"),
              AllOf(HasSubstr("JSON or JSON-MIN"), HasSubstr("looks like COCO's")));
  EXPECT_THAT(refusal("[{\"id\":1,\"data\":{}}]"), HasSubstr("task 1 has no 'annotations'"));
  EXPECT_THAT(refusal("[{\"id\":1,\"annotations\":[]}]"), HasSubstr("task 1 has no 'data'"));
  EXPECT_THAT(refusal("[" + Task(1, "") + "]"), HasSubstr("none of 1 tasks is annotated"));
  EXPECT_THAT(refusal("[" + Task(1, Annotation(1, "")) + "]"), HasSubstr("no region has a label"));
}

}  // namespace
}  // namespace dataset
