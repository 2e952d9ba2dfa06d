// What COCO and Label Studio can both express survives COCO → samples → Label Studio → samples →
// COCO, for random data sets.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>

#include "dataset/coco_reader.h"
#include "dataset/coco_writer.h"
#include "dataset/label_studio_reader.h"
#include "dataset/label_studio_writer.h"
#include "tests/testing/status_matchers.h"
#include "vision/mask_shapes.h"

namespace dataset {
namespace {

constexpr char kConfig[] =
    "<View><Image name='image' value='$image'/>"
    "<RectangleLabels name='box' toName='image'><Label value='cat'/><Label value='dog'/>"
    "<Label value='a &quot;b&quot; &#x1F600;'/></RectangleLabels>"
    "<BrushLabels name='mask' toName='image'><Label value='cat'/><Label value='dog'/>"
    "<Label value='a &quot;b&quot; &#x1F600;'/></BrushLabels></View>";

class Maker {
 public:
  explicit Maker(unsigned seed) : random_(seed) {}

  Dataset Make() {
    Dataset dataset{{"cat", "dog", "a \"b\" \xF0\x9F\x98\x80"}, {}};
    const int samples = Below(6) + 1;
    for (int i = 0; i < samples; ++i) {
      Sample& sample = dataset.samples.emplace_back();
      sample.id = std::to_string(i + 1);
      sample.image = "images/" + std::to_string(i) + " \xC3\xA9.jpg";
      sample.size = {Below(300) + 1, Below(300) + 1};
      const int objects = Below(8);
      for (int j = 0; j < objects; ++j) AddObject(&sample);
    }
    return dataset;
  }

 private:
  int Below(int limit) { return std::uniform_int_distribution<int>(0, limit - 1)(random_); }
  float Real(float low, float high) {
    return std::uniform_real_distribution<float>(low, high)(random_);
  }

  void AddObject(Sample* sample) {
    const auto width = static_cast<float>(sample->size.width);
    const auto height = static_cast<float>(sample->size.height);
    Object object;
    object.class_index = Below(3);
    if (Below(2) == 0) {
      const float x = Real(0, width * 0.9F);
      const float y = Real(0, height * 0.9F);
      object.box = {x, y, Real(x + width * 0.05F, width), Real(y + height * 0.05F, height)};
      object.area = static_cast<double>(object.box.width()) * object.box.height();
    } else {
      vision::Mask mask =
          vision::MaskFromEllipse(sample->size, {.center = {Real(0, width), Real(0, height)},
                                                 .radius_x = Real(0.8F, width),
                                                 .radius_y = Real(0.8F, height / 2),
                                                 .angle = Real(-1.5F, 1.5F)});
      // Holes, and parts that don't touch.
      std::erase_if(mask.spans, [this](const vision::Span&) { return Below(4) == 0; });
      if (mask.spans.empty()) return;
      object.box = vision::TightBox(mask);
      object.area = static_cast<double>(vision::Area(mask));
      object.mask = std::move(mask);
    }
    sample->objects.push_back(std::move(object));
  }

  std::mt19937 random_;
};

// Coordinates pass through text with six decimals of a percent, and through float: of 300 pixels
// that is 3e-6 and 3e-5.
constexpr float kTolerancePx = 1e-4F;

void ExpectSame(const Dataset& read, const Dataset& made) {
  EXPECT_EQ(read.classes, made.classes);
  ASSERT_EQ(read.samples.size(), made.samples.size());
  for (std::size_t i = 0; i < made.samples.size(); ++i) {
    SCOPED_TRACE(i);
    const Sample& a = read.samples[i];
    const Sample& b = made.samples[i];
    EXPECT_EQ(a.image, b.image);
    ASSERT_EQ(a.objects.size(), b.objects.size());
    EXPECT_TRUE(b.objects.empty() || a.size == b.size);
    for (std::size_t j = 0; j < b.objects.size(); ++j) {
      SCOPED_TRACE(j);
      EXPECT_EQ(a.objects[j].class_index, b.objects[j].class_index);
      EXPECT_NEAR(a.objects[j].box.x_min, b.objects[j].box.x_min, kTolerancePx);
      EXPECT_NEAR(a.objects[j].box.y_min, b.objects[j].box.y_min, kTolerancePx);
      EXPECT_NEAR(a.objects[j].box.x_max, b.objects[j].box.x_max, kTolerancePx);
      EXPECT_NEAR(a.objects[j].box.y_max, b.objects[j].box.y_max, kTolerancePx);
      EXPECT_EQ(a.objects[j].mask, b.objects[j].mask);
      EXPECT_NEAR(a.objects[j].area, b.objects[j].area, 1e-4 * (1 + b.objects[j].area));
    }
  }
}

TEST(RoundTripTest, WhatBothFormatsCanExpressSurvives) {
  for (unsigned seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(seed);
    Findings findings;
    const Dataset made = Maker(seed).Make();

    const std::string coco = WriteCoco(made, {}, &findings);
    ASSERT_OK_AND_ASSIGN(const Dataset from_coco, ReadCoco(coco, {}, &findings));
    ExpectSame(from_coco, made);
    ASSERT_OK_AND_ASSIGN(const std::string tasks,
                         WriteLabelStudioTasks(from_coco, {.label_config = kConfig}, &findings));
    ASSERT_OK_AND_ASSIGN(Dataset from_tasks,
                         ReadLabelStudio(tasks, {.label_config = kConfig}, &findings));
    ExpectSame(from_tasks, made);
    // Label Studio doesn't say how large an image without regions is.
    for (std::size_t i = 0; i < made.samples.size(); ++i) {
      from_tasks.samples[i].size = made.samples[i].size;
    }
    const std::string again = WriteCoco(from_tasks, {}, &findings);
    ASSERT_OK_AND_ASSIGN(const Dataset last, ReadCoco(again, {}, &findings));
    ExpectSame(last, made);
    EXPECT_TRUE(findings.empty()) << findings.Lines().front();
  }
}

TEST(RoundTripTest, TurnedBoxesSurviveAsTheSameRectangle) {
  std::mt19937 random(1);
  std::uniform_real_distribution<float> real(0, 1);
  for (int i = 0; i < 100; ++i) {
    Dataset made{{"cat"}, {}};
    Sample& sample = made.samples.emplace_back();
    sample.id = "1";
    sample.image = "a.jpg";
    sample.size = {200, 150};
    const vision::RotatedBox box{{80 + 40 * real(random), 60 + 30 * real(random)},
                                 10 + 50 * real(random),
                                 5 + 30 * real(random),
                                 7 * real(random) - 3.5F};
    sample.objects.push_back(
        {.class_index = 0, .box = vision::BoundingBox(box), .rotated_box = box, .mask = {}});
    Findings findings;

    ASSERT_OK_AND_ASSIGN(const Dataset from_coco,
                         ReadCoco(WriteCoco(made, {}, &findings), {}, &findings));
    ASSERT_OK_AND_ASSIGN(const std::string tasks,
                         WriteLabelStudioTasks(from_coco, {.label_config = kConfig}, &findings));
    ASSERT_OK_AND_ASSIGN(const Dataset read,
                         ReadLabelStudio(tasks, {.label_config = kConfig}, &findings));

    ASSERT_EQ(read.samples[0].objects.size(), 1U);
    const Object& object = read.samples[0].objects[0];
    ASSERT_TRUE(object.rotated_box);
    // Which of the corners Label Studio turns it about is free.
    EXPECT_GT(vision::RotatedIou(*object.rotated_box, box), 1 - 1e-4);
    EXPECT_NEAR(object.box.x_min, sample.objects[0].box.x_min, 1e-3);
    EXPECT_TRUE(findings.empty());
  }
}

}  // namespace
}  // namespace dataset
