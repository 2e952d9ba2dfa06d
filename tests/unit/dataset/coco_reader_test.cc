#include "dataset/coco_reader.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <gmock/gmock.h>

#include <string>
#include <string_view>

#include "tests/testing/status_matchers.h"

namespace dataset {
namespace {

using duet_testing::StatusIs;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr std::string_view kImages =
    R"("images":[{"id":7,"file_name":"a.jpg","width":20,"height":10},)"
    R"({"id":3,"file_name":"b.jpg","width":30,"height":40}])";
constexpr std::string_view kCategories =
    R"("categories":[{"id":90,"name":"dog"},{"id":8,"name":"cat","supercategory":"pet"}])";

std::string Coco(std::string_view annotations, std::string_view images = kImages,
                 std::string_view categories = kCategories) {
  std::string json = "{\"info\":{},";
  json.append(images).append(",\"annotations\":[").append(annotations).append("],");
  return json.append(categories).append("}");
}

std::string On7(std::string_view fields) {
  std::string json = R"({"id":1,"image_id":7,"category_id":8,)";
  return json.append(fields).append("}");
}

Dataset Read(std::string_view json, Findings* findings, const CocoReadOptions& options = {}) {
  absl::StatusOr<Dataset> dataset = ReadCoco(json, options, findings);
  EXPECT_TRUE(dataset.ok()) << dataset.status();
  return dataset.ok() ? *std::move(dataset) : Dataset{};
}

// The only object; the test fails if there is another.
Object Only(const Dataset& dataset) {
  EXPECT_THAT(dataset.samples[0].objects, SizeIs(1));
  return dataset.samples[0].objects.empty() ? Object{} : dataset.samples[0].objects[0];
}

TEST(CocoReaderTest, ReadsImagesInOrderAndClassesByTheirIds) {
  Findings findings;

  const Dataset dataset =
      Read(Coco(R"({"id":5,"image_id":3,"category_id":90,"bbox":[1,2,3.5,4],"area":9,"iscrowd":1},)"
                R"({"id":6,"image_id":3,"category_id":8,"bbox":[0,0,30,40]})"),
           &findings);

  EXPECT_THAT(dataset.classes, ElementsAre("cat", "dog"));
  ASSERT_THAT(dataset.samples, SizeIs(2));
  EXPECT_EQ(dataset.samples[0].id, "7");
  EXPECT_EQ(dataset.samples[0].image, "a.jpg");
  EXPECT_EQ(dataset.samples[0].size, (vision::Size{20, 10}));
  EXPECT_THAT(dataset.samples[0].objects, IsEmpty());
  ASSERT_THAT(dataset.samples[1].objects, SizeIs(2));
  const Object& dog = dataset.samples[1].objects[0];
  EXPECT_EQ(dog.class_index, 1);
  EXPECT_EQ(dog.box, (vision::Box{1, 2, 4.5, 6}));
  EXPECT_EQ(dog.area, 9);
  EXPECT_TRUE(dog.crowd);
  EXPECT_FALSE(dataset.samples[1].objects[1].crowd);
  EXPECT_EQ(dataset.samples[1].objects[1].area, 1200);
  EXPECT_TRUE(findings.empty()) << findings.Lines().front();
}

TEST(CocoReaderTest, FieldsMayComeInAnyOrder) {
  Findings findings;
  const std::string json = std::string("{\"annotations\":[") + On7("\"bbox\":[1,1,2,2]") + "]," +
                           std::string(kCategories) + "," + std::string(kImages) + "}";
  EXPECT_EQ(Only(Read(json, &findings)).box, (vision::Box{1, 1, 3, 3}));
}

TEST(CocoReaderTest, ReadsMasksOfEveryForm) {
  const vision::Mask square{{20, 10}, {{1, 2, 5}, {2, 2, 5}}};
  for (const std::string_view segmentation : {
           R"([[2,1,5,1,5,3,2,3]])",
           R"([[2,1,4,1,4,3,2,3],[3,1,5,1,5,3,3,3]])",  // two parts of one mask
           R"({"size":[10,20],"counts":[21,2,8,2,8,2,157]})",
           R"({"size":[10,20],"counts":"e028000e4"})",
       }) {
    Findings findings;
    const std::string json =
        Coco(On7("\"bbox\":[2,1,3,2],\"segmentation\":" + std::string(segmentation)));
    EXPECT_EQ(Only(Read(json, &findings)).mask, square) << segmentation;
    EXPECT_TRUE(findings.empty()) << findings.Lines().front();
    EXPECT_EQ(Only(Read(json, &findings, {.masks = false})).mask, std::nullopt);
  }
}

TEST(CocoReaderTest, ABoxIsTakenFromTheMaskIfItIsMissing) {
  Findings findings;
  const std::string json = Coco(On7(R"("segmentation":[[2,1,5,1,5,3,2,3]])"));

  EXPECT_EQ(Only(Read(json, &findings)).box, (vision::Box{2, 1, 5, 3}));
  EXPECT_EQ(Only(Read(json, &findings)).area, 6);
  const Object without_mask = Only(Read(json, &findings, {.masks = false}));
  EXPECT_EQ(without_mask.box, (vision::Box{2, 1, 5, 3}));
  EXPECT_EQ(without_mask.mask, std::nullopt);
}

TEST(CocoReaderTest, DamagedMasksLeaveTheBox) {
  for (const std::string_view segmentation :
       {R"([[2,1,5,1]])", R"([[2,1,5,1,5,3,2]])", R"([[2,1,5,"x",5,3]])", R"("text")",
        R"({"size":[10,20],"counts":[21,2]})", R"({"size":[10,20],"counts":"!!"})",
        R"({"size":[10,20],"counts":[21,-2,3]})", R"({"size":[10,20]})", R"({"counts":[200]})",
        R"({"size":[11,20],"counts":[220]})", R"({"size":[10,20],"counts":[200]})",
        R"([[-9,-9,-8,-9,-8,-8]])", R"([[1,1,2,2,1e300,3]])"}) {
    Findings findings;
    const Object object = Only(Read(
        Coco(On7("\"bbox\":[2,1,3,2],\"segmentation\":" + std::string(segmentation))), &findings));
    EXPECT_EQ(object.mask, std::nullopt) << segmentation;
    EXPECT_THAT(findings.Lines(), SizeIs(1)) << segmentation;
    EXPECT_THAT(findings.Lines()[0], HasSubstr("annotation 1 of image 7")) << segmentation;
  }
  Findings findings;
  Read(Coco(On7(R"("bbox":[2,1,3,2],"segmentation":[])")), &findings);
  EXPECT_TRUE(findings.empty()) << "no mask is no damage";
}

TEST(CocoReaderTest, WhatCannotBeUsedIsLeftOutAndCounted) {
  Findings findings;

  const Dataset dataset =
      Read(Coco(R"({"id":1,"image_id":7,"category_id":8,"bbox":[-5,-5,10,10]},)"  // clipped
                R"({"id":2,"image_id":7,"category_id":8,"bbox":[1,1,0,5]},)"
                R"({"id":3,"image_id":7,"category_id":8,"bbox":[1,1,-3,5]},)"
                R"({"id":4,"image_id":7,"category_id":8,"bbox":[1,1,3]},)"
                R"({"id":5,"image_id":7,"category_id":8,"bbox":[20,1,3,3]},)"
                R"({"id":6,"image_id":7,"category_id":5,"bbox":[1,1,3,3]},)"
                R"({"id":7,"image_id":99,"category_id":8,"bbox":[1,1,3,3]},)"
                R"({"id":8,"image_id":4,"category_id":8,"bbox":[1,1,3,3]},)"
                R"({"id":1,"image_id":7,"category_id":8,"bbox":[1,1,3,3]})",
                R"("images":[{"id":7,"file_name":"a.jpg","width":20,"height":10},)"
                R"({"id":7,"file_name":"c.jpg","width":20,"height":10},)"
                R"({"id":4,"file_name":"d.jpg","width":null,"height":null},)"
                R"({"id":5,"width":4,"height":4}])"),
           &findings);

  ASSERT_THAT(dataset.samples, SizeIs(1));
  ASSERT_THAT(dataset.samples[0].objects, SizeIs(2));
  EXPECT_EQ(dataset.samples[0].objects[0].box, (vision::Box{0, 0, 5, 5}));
  EXPECT_THAT(
      findings.Lines(),
      ElementsAre(
          "1 images of an id that another has already, left out; the first: image 7, 'c.jpg'",
          "1 images without width and height, left out; the first: image 4, 'd.jpg'",
          "1 images without an id or a file name, left out; the first: image 5, ''",
          "3 annotations whose box is missing, damaged or empty, left out; the first: annotation "
          "2 of image 7",
          "1 annotations whose box is outside of the image, left out; the first: annotation 5 of "
          "image 7",
          "1 annotations of unknown categories, left out; the first: annotation 6 of image 7, "
          "category '5'",
          "1 annotations of images that the file doesn't have, left out; the first: annotation 7 "
          "of image 99",
          "1 annotations of images that were left out; the first: annotation 8 of image 4",
          "1 annotations of an id that another has already, kept; the first: annotation 1 of "
          "image 7"));
}

// As pycocotools' evaluation and MMDetection's CocoDataset see them.
TEST(CocoReaderTest, BoxesAsWrittenAreNeitherClippedNorDropped) {
  Findings findings;
  const std::string json =
      Coco(R"({"id":1,"image_id":7,"category_id":8,"bbox":[-5,-5,10,30],"area":7},)"
           R"({"id":2,"image_id":7,"category_id":8,"bbox":[1,1,0,5]},)"
           R"({"id":3,"image_id":7,"category_id":8,"bbox":[9,1,-3,5]},)"
           R"({"id":4,"image_id":7,"category_id":8,"bbox":[20,1,3,3]},)"
           R"({"id":5,"image_id":7,"category_id":8,"bbox":[1,1,3]},)"
           R"({"id":6,"image_id":7,"category_id":8,"bbox":[1,1,1e300,3]},)"
           R"({"id":7,"image_id":7,"category_id":8,"segmentation":[[2,1,5,1,5,3,2,3]]})");

  const Dataset dataset = Read(json, &findings, {.boxes_as_written = true});

  const std::vector<Object>& objects = dataset.samples[0].objects;
  ASSERT_THAT(objects, SizeIs(5));
  EXPECT_EQ(objects[0].box, (vision::Box{-5, -5, 5, 25}));
  EXPECT_EQ(objects[0].area, 7);
  EXPECT_EQ(objects[1].box, (vision::Box{1, 1, 1, 6}));
  EXPECT_EQ(objects[2].box, (vision::Box{9, 1, 6, 6}));
  EXPECT_EQ(objects[3].box, (vision::Box{20, 1, 23, 4}));
  EXPECT_EQ(objects[4].box, (vision::Box{2, 1, 5, 3}));
  EXPECT_THAT(findings.Lines(),
              ElementsAre("2 annotations whose box has no width or height, kept as written; the "
                          "first: annotation 2 of image 7",
                          "1 annotations whose box is outside of the image, kept as written; the "
                          "first: annotation 4 of image 7",
                          "2 annotations whose box is missing, damaged or empty, left out; the "
                          "first: annotation 5 of image 7"));
}

// pycocotools takes the id of what a detection hit for whether it hit anything.
TEST(CocoReaderTest, AnIdThatPycocotoolsNeverCountsAsFoundIsNamed) {
  Findings findings;
  const std::string json = Coco(R"({"id":0,"image_id":7,"category_id":8,"bbox":[1,1,2,2]})");

  Read(json, &findings);
  EXPECT_TRUE(findings.empty());
  Read(json, &findings, {.boxes_as_written = true});
  EXPECT_THAT(findings.Lines(),
              ElementsAre("1 annotations of the id 0, which pycocotools never counts as found; "
                          "here they count; the first: annotation 0 of image 7"));
}

TEST(CocoReaderTest, IgnoreIsNoCrowd) {
  Findings findings;
  const Object object =
      Only(Read(Coco(On7(R"("bbox":[1,1,2,2],"ignore":1,"iscrowd":0)")), &findings));
  EXPECT_TRUE(object.ignore);
  EXPECT_FALSE(object.crowd);
  EXPECT_FALSE(Only(Read(Coco(On7(R"("bbox":[1,1,2,2],"iscrowd":1)")), &findings)).ignore);
}

TEST(CocoReaderTest, FilesThatAreNoDataSetAreRefused) {
  const auto refusal = [](std::string_view json, const CocoReadOptions& options = {}) {
    Findings findings;
    return std::string(ReadCoco(json, options, &findings).status().message());
  };
  EXPECT_THAT(refusal("{}"), HasSubstr("no 'categories'"));
  EXPECT_THAT(refusal("[1]"), HasSubstr("no 'categories'"));
  EXPECT_THAT(refusal("{\"categories\""), HasSubstr("not JSON"));
  EXPECT_THAT(refusal(Coco("", "\"images\":[]")), HasSubstr("no usable 'images'"));
  EXPECT_THAT(refusal(Coco("", kImages, R"("categories":[{"id":1,"name":""}])")),
              HasSubstr("category 0 of the list 'categories' has no 'name'"));
  EXPECT_THAT(refusal(Coco("", kImages, R"("categories":[{"name":"a"}])")), HasSubstr("no 'id'"));
  EXPECT_THAT(
      refusal(Coco("", kImages, R"("categories":[{"id":1,"name":"a"},{"id":2,"name":"a"}])")),
      HasSubstr("two classes 'a'"));
  EXPECT_THAT(
      refusal(Coco("", kImages, R"("categories":[{"id":1,"name":"a"},{"id":1,"name":"b"}])")),
      HasSubstr("two categories have the id 1"));
  EXPECT_THAT(refusal(Coco(""), {.classes = {"bird"}}),
              HasSubstr("no category is named 'bird'; the file has: cat, dog"));
  EXPECT_THAT(refusal(Coco(""), {.classes = {"cat", "cat"}}), HasSubstr("two classes 'cat'"));
  std::string many = R"("categories":[{"id":0,"name":"n0"})";
  for (int n = 1; n < 102; ++n) {
    const std::string number = std::to_string(n);
    many.append(R"(,{"id":)").append(number).append(R"(,"name":"n)").append(number).append("\"}");
  }
  EXPECT_THAT(refusal(Coco("", kImages, many + "]"), {.classes = {"bird"}}),
              HasSubstr("n98, n99 and 2 more"));
}

TEST(CocoReaderTest, AChoiceOfClassesGivesTheirOrder) {
  Findings findings;
  const std::string json = Coco(R"({"id":1,"image_id":7,"category_id":90,"bbox":[1,1,2,2]},)"
                                R"({"id":2,"image_id":7,"category_id":8,"bbox":[1,1,2,2]})");

  const Dataset dataset = Read(json, &findings, {.classes = {"dog"}});

  EXPECT_THAT(dataset.classes, ElementsAre("dog"));
  EXPECT_EQ(Only(dataset).class_index, 0);
  EXPECT_TRUE(findings.empty());
}

TEST(CocoReaderTest, NumbersThatAreNoneAreMissing) {
  Findings findings;
  ASSERT_OK_AND_ASSIGN(const Dataset dataset, ReadCoco(R"({
    "images": [{"id": 1, "file_name": "a.jpg", "width": 20, "height": 10, "dpi": NaN}],
    "categories": [{"id": 1, "name": "cat"}],
    "annotations": [
      {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "area": NaN},
      {"id": 2, "image_id": 1, "category_id": 1, "bbox": [1, 2, NaN, 4], "area": 12},
      {"id": 3, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "area": 12,
       "segmentation": [[1, 2, Infinity, 2, 4, 6], [1, 2, 4, 2, 4, 6]]}]})",
                                                       {.masks = true}, &findings));

  ASSERT_EQ(dataset.samples[0].objects.size(), 2U);
  EXPECT_EQ(dataset.samples[0].objects[0].area, 12) << "of the box";
  EXPECT_TRUE(dataset.samples[0].objects[1].mask.has_value()) << "of the other polygon";
  const std::string lines = absl::StrJoin(findings.Lines(), "\n");
  EXPECT_THAT(lines, HasSubstr("annotation 2 of image 1"));
  EXPECT_THAT(lines, HasSubstr("annotation 3 of image 1"));
}

TEST(CocoReaderTest, TheWorkForAPolygonIsBoundedByItsImage) {
  // An outline that runs to and fro beside and across an image of one row.
  std::string polygon;
  for (int i = 0; i < 20'000; ++i) {
    absl::StrAppend(&polygon, i == 0 ? "" : ",", i % 2 == 0 ? "0,-900000" : "90000,900000");
  }
  Findings findings;
  ASSERT_OK_AND_ASSIGN(const Dataset dataset, ReadCoco(absl::StrCat(R"({
    "images": [{"id": 1, "file_name": "a.jpg", "width": 100000, "height": 1}],
    "categories": [{"id": 1, "name": "cat"}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 1],
                     "segmentation": [[)",
                                                                    polygon, "]]}]}"),
                                                       {.masks = true}, &findings));

  ASSERT_EQ(dataset.samples[0].objects.size(), 1U);
  EXPECT_FALSE(dataset.samples[0].objects[0].mask.has_value());
  EXPECT_THAT(absl::StrJoin(findings.Lines(), "\n"),
              HasSubstr("crosses the columns of an image of 100000x1"));
}

}  // namespace
}  // namespace dataset
