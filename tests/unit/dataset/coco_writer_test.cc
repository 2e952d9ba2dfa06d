#include "dataset/coco_writer.h"

#include <gmock/gmock.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <string>

#include "dataset/coco_reader.h"
#include "tests/testing/status_matchers.h"

namespace dataset {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

namespace json = boost::json;

// Two classes and one image of 20x10 with a masked object, a turned one and a crowd.
Dataset Example() {
  Dataset dataset{{"cat", "dog"}, {}};
  Sample& sample = dataset.samples.emplace_back();
  sample.id = "17";
  sample.image = "a \"b\".jpg";
  sample.size = {20, 10};
  const vision::Mask mask{{20, 10}, {{1, 2, 5}, {2, 2, 3}, {2, 4, 5}, {3, 2, 5}}};
  sample.objects.push_back(
      {.class_index = 1, .box = {2, 1, 5.25, 4}, .rotated_box = {}, .mask = mask, .area = 8});
  sample.objects.push_back({.class_index = 0,
                            .box = {7, 2, 13, 8},
                            .rotated_box = vision::RotatedBox{{10, 5}, 6, 2, 0.5F},
                            .mask = {},
                            .area = 12});
  sample.objects.push_back({.class_index = 0,
                            .box = {0, 0, 20, 10},
                            .rotated_box = {},
                            .mask = {},
                            .area = 200,
                            .crowd = true});
  return dataset;
}

json::value Written(const Dataset& dataset, const CocoWriteOptions& options = {}) {
  Findings findings;
  return json::parse(WriteCoco(dataset, options, &findings));
}

TEST(CocoWriterTest, WritesWhatCocosToolsRead) {
  const json::value coco = Written(Example());

  EXPECT_EQ(json::serialize(coco.at("images")),
            R"([{"id":17,"file_name":"a \"b\".jpg","width":20,"height":10}])");
  EXPECT_EQ(
      json::serialize(coco.at("categories")),
      R"([{"id":1,"name":"cat","supercategory":""},{"id":2,"name":"dog","supercategory":""}])");
  const json::array& annotations = coco.at("annotations").as_array();
  ASSERT_THAT(annotations, SizeIs(3));
  EXPECT_EQ(json::serialize(annotations[0].at("bbox")), "[2,1,3.25E0,3]");
  EXPECT_EQ(annotations[0].at("category_id").as_int64(), 2);
  EXPECT_EQ(annotations[0].at("image_id").as_int64(), 17);
  EXPECT_EQ(json::serialize(annotations[0].at("segmentation").at("size")), "[10,20]");
  EXPECT_EQ(annotations[1].at("segmentation").as_array().size(), 1U);
  EXPECT_EQ(annotations[2].at("iscrowd").as_int64(), 1);
  EXPECT_EQ(annotations[2].at("segmentation").as_array().size(), 0U);
}

TEST(CocoWriterTest, TheReaderGivesItAllBack) {
  Findings findings;
  ASSERT_OK_AND_ASSIGN(const Dataset read,
                       ReadCoco(WriteCoco(Example(), {}, &findings), {}, &findings));

  const std::vector<Object>& objects = read.samples[0].objects;
  const std::vector<Object> expected = Example().samples[0].objects;
  ASSERT_THAT(objects, SizeIs(3));
  EXPECT_THAT(read.classes, ElementsAre("cat", "dog"));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(objects[i].class_index, expected[i].class_index);
    EXPECT_EQ(objects[i].box, expected[i].box);
    EXPECT_EQ(objects[i].mask, expected[i].mask) << i;
    EXPECT_EQ(objects[i].area, expected[i].area);
    EXPECT_EQ(objects[i].crowd, expected[i].crowd);
  }
  ASSERT_TRUE(objects[1].rotated_box);
  EXPECT_NEAR(objects[1].rotated_box->angle, 0.5, 1e-6);
  EXPECT_EQ(objects[1].rotated_box->center, (vision::Point{10, 5}));
  EXPECT_TRUE(findings.empty());
}

TEST(CocoWriterTest, BoxesAsWrittenAndTheMarkIgnoreComeBack) {
  Dataset written = Example();
  Object& object = written.samples[0].objects[0];
  object.box = {-3, 1, -3, 900};
  object.ignore = true;
  object.mask.reset();
  Findings findings;

  ASSERT_OK_AND_ASSIGN(const Dataset read, ReadCoco(WriteCoco(written, {}, &findings),
                                                    {.boxes_as_written = true}, &findings));

  ASSERT_THAT(read.samples[0].objects, SizeIs(3));
  EXPECT_EQ(read.samples[0].objects[0].box, object.box);
  EXPECT_TRUE(read.samples[0].objects[0].ignore);
  EXPECT_FALSE(read.samples[0].objects[1].ignore);
}

TEST(CocoWriterTest, PolygonsFillHolesAndSaySo) {
  Findings findings;
  const std::string text = WriteCoco(Example(), {.masks = CocoMasks::kPolygons}, &findings);

  ASSERT_OK_AND_ASSIGN(const Dataset read, ReadCoco(text, {}, &findings));

  EXPECT_EQ(read.samples[0].objects[0].mask,
            (vision::Mask{{20, 10}, {{1, 2, 5}, {2, 2, 5}, {3, 2, 5}}}));
  EXPECT_EQ(findings.count("masks whose holes were filled"), 1U);
}

TEST(CocoWriterTest, ImagesAreNumberedWhereTheirIdsAreNoDifferentNumbers) {
  Dataset dataset{{"cat"}, {}};
  for (const char* id : {"5", "17/0", "17/1"}) {
    Sample& sample = dataset.samples.emplace_back();
    sample.id = id;
    sample.image = id;
    sample.size = {4, 4};
  }
  const json::value coco = Written(dataset);
  const json::array& images = coco.at("images").as_array();
  EXPECT_EQ(images[0].at("id").as_int64(), 1);
  EXPECT_EQ(images[2].at("id").as_int64(), 3);
}

TEST(CocoWriterTest, AnImageOfUnknownSizeIsLeftOutAndCounted) {
  Dataset dataset{{"cat"}, {}};
  dataset.samples.emplace_back().image = "a.jpg";
  Findings findings;
  WriteCoco(dataset, {}, &findings);
  EXPECT_THAT(findings.Lines(),
              ElementsAre("1 images whose size is unknown, left out; the first: 'a.jpg'"));
}

}  // namespace
}  // namespace dataset
