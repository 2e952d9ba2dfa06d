// What is handed to a training by people: used, or named and counted.
#include "trainer/run/training_data.h"

#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>

#include <opencv2/imgcodecs.hpp>
#include <string>

#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace trainer {
namespace {

using duet_testing::StatusIs;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

class TrainingDataTest : public testing::Test {
 protected:
  // A grey image of 64x48 pixels, unlike those of other shades.
  void WriteImage(const std::string& name, int shade) {
    std::vector<unsigned char> bytes;
    cv::imencode(".png", cv::Mat(48, 64, CV_8UC3, cv::Scalar::all(shade)), bytes);
    folder_.Write(absl::StrCat("images/", name),
                  {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }

  // COCO with the images a0.png, a1.png, …; each has the annotations given for it, without their
  // ids.
  std::string Coco(const std::vector<std::vector<std::string>>& annotations, int first = 0) {
    std::string images;
    std::string all;
    int id = 0;
    for (std::size_t i = 0; i < annotations.size(); ++i) {
      const std::string number = std::to_string(first + static_cast<int>(i));
      absl::StrAppend(&images, i == 0 ? "" : ",", R"({"id":)", number,
                      R"(,"width":64,"height":48,"file_name":"a)", number, R"(.png"})");
      for (const std::string& annotation : annotations[i]) {
        absl::StrAppend(&all, all.empty() ? "" : ",", R"({"id":)", ++id, R"(,"image_id":)", number,
                        ",", annotation, "}");
      }
    }
    return absl::StrCat(R"({"images":[)", images, R"(],"annotations":[)", all,
                        R"(],"categories":[{"id":1,"name":"cat"},{"id":2,"name":"dog"}]})");
  }

  static std::string Box(int category, const char* box = "[4,4,20,20]") {
    return absl::StrCat(R"("category_id":)", category, R"(,"iscrowd":0,"area":400,"bbox":)", box);
  }

  // A task of Label Studio with the image a0.png, a1.png, … and a bolt on it.
  static std::string Task(int id) {
    return absl::StrCat(R"({"id":)", id, R"(,"data":{"image":"/data/upload/1/a)", id,
                        R"(.png"},"annotations":[{"id":1,"result":[{"id":"r",
           "type":"rectanglelabels","from_name":"label","to_name":"image","original_width":64,
           "original_height":48,"value":{"x":10,"y":10,"width":50,"height":50,"rotation":0,
           "rectanglelabels":["bolt"]}}]}]})");
  }

  absl::StatusOr<TrainingData> Freeze(const std::string& json) {
    options_.data = folder_.Write("data.json", json);
    options_.images = folder_.path() + "/images";
    return FreezeTrainingData(options_, {}, folder_.path() + "/out");
  }

  duet_testing::TempDir folder_;
  DataOptions options_;
};

TEST_F(TrainingDataTest, ImagesAreSplitAndFrozen) {
  std::vector<std::vector<std::string>> annotations;
  for (int i = 0; i < 10; ++i) {
    WriteImage(absl::StrCat("a", i, ".png"), 20 * i);
    annotations.push_back({Box(1), Box(i % 2 + 1)});
  }

  ASSERT_OK_AND_ASSIGN(const TrainingData data, Freeze(Coco(annotations)));

  EXPECT_THAT(data.train.samples, SizeIs(8));
  EXPECT_THAT(data.validation.samples, SizeIs(2));
  EXPECT_THAT(data.train.classes, ElementsAre("cat", "dog"));
  EXPECT_TRUE(data.findings.empty());
  ASSERT_OK_AND_ASSIGN(const TrainingData again, Freeze(Coco(annotations)));
  EXPECT_EQ(again.revision.id, data.revision.id);
}

TEST_F(TrainingDataTest, TheOfficialSplitIsKeptAndItsClassesAreFoundByName) {
  for (int i = 0; i < 4; ++i) WriteImage(absl::StrCat("a", i, ".png"), 20 * i);
  // The same bytes under another name.
  WriteImage("a7.png", 0);
  options_.validation =
      folder_.Write("val.json", R"({"images":[{"id":3,"width":64,"height":48,"file_name":"a3.png"},
        {"id":7,"width":64,"height":48,"file_name":"a7.png"}],
        "annotations":[{"id":1,"image_id":3,"category_id":5,"area":9,"bbox":[1,1,3,3]},
                       {"id":2,"image_id":7,"category_id":6,"area":9,"bbox":[1,1,3,3]}],
        "categories":[{"id":5,"name":"dog"},{"id":6,"name":"bird"}]})");

  ASSERT_OK_AND_ASSIGN(const TrainingData data, Freeze(Coco({{Box(1)}, {Box(2)}, {Box(1)}})));

  EXPECT_THAT(data.train.samples, SizeIs(2)) << "a0 is a7";
  ASSERT_THAT(data.validation.samples, SizeIs(2));
  const std::vector<ClassCount> counts = CountClasses(data.validation);
  EXPECT_EQ(counts[0].objects, 0u);
  EXPECT_EQ(counts[1].objects, 1u);
  EXPECT_THAT(data.findings.Lines(),
              ElementsAre(HasSubstr("the first: bird"), HasSubstr("the first: 'a0.png'")));
}

// As COCO itself is kept: train2017/ and val2017/.
TEST_F(TrainingDataTest, TheOfficialSplitsImagesMayLieElsewhereUnderTheSameNames) {
  for (int i = 0; i < 2; ++i) WriteImage(absl::StrCat("a", i, ".png"), 20 * i);
  options_.validation_images = folder_.path() + "/val";
  options_.validation = folder_.Write("val.json", Coco({{Box(2)}}));
  const std::string other = duet_testing::ReadFile(folder_.path() + "/images/a1.png");
  folder_.Write("val/a0.png", other);

  ASSERT_OK_AND_ASSIGN(const TrainingData data, Freeze(Coco({{Box(1)}})));

  ASSERT_THAT(data.validation.samples, SizeIs(1));
  EXPECT_EQ(data.validation.samples[0].objects[0].class_index, 1);
  EXPECT_THAT(data.train.samples, SizeIs(1));
  EXPECT_NE(data.train.samples[0].image, data.validation.samples[0].image);
  options_.validation_images = folder_.path() + "/nowhere";
  EXPECT_THAT(Freeze(Coco({{Box(1)}})),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("--validation_images=")));
}

TEST_F(TrainingDataTest, WhatCannotBeUsedIsNamedAndCounted) {
  for (int i = 0; i < 6; ++i) WriteImage(absl::StrCat("a", i, ".png"), 20 * i);
  const std::string whole = duet_testing::ReadFile(folder_.path() + "/images/a4.png");
  folder_.Write("images/a4.png", whole.substr(0, whole.size() / 2));
  folder_.Write("images/a5.png", "no image");

  ASSERT_OK_AND_ASSIGN(const TrainingData data,
                       Freeze(Coco({{Box(1), Box(1, "[70,4,5,5]"), Box(1, "[4,4,0,5]"), Box(9)},
                                    {Box(1)},
                                    {Box(1)},
                                    {},
                                    {Box(1)},
                                    {Box(1)},
                                    {Box(1)}})));

  EXPECT_THAT(
      data.findings.Lines(),
      testing::UnorderedElementsAre(
          HasSubstr("1 annotations whose box is outside of the image, kept as written"),
          HasSubstr("1 annotations whose box has no width or height, kept as written"),
          HasSubstr("1 objects outside of their image, left out of the training"),
          HasSubstr("1 objects of less than a pixel, left out of the training"),
          HasSubstr("1 annotations of unknown"),
          HasSubstr("1 damaged images, left out; the first: 'a4.png'"),
          HasSubstr("1 files that are no images, left out; the first: 'a5.png'"),
          HasSubstr("1 images that can't be found, left out; the first: 'a6.png'"),
          HasSubstr("1 images without objects, left out of the training; the first: 'a3.png'"),
          HasSubstr("not learned; the first: 'dog'")));
}

TEST_F(TrainingDataTest, NothingToLearnFromIsRefusedInOneSentence) {
  WriteImage("a0.png", 0);
  WriteImage("a1.png", 50);

  EXPECT_THAT(Freeze(Coco({{}, {}})),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("--data="), HasSubstr("none with an object"))));
  EXPECT_THAT(Freeze(R"({"images":[],"annotations":[],"categories":[{"id":1,"name":"cat"}]})"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--data=")));
  EXPECT_THAT(Freeze("[]"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--data=")));
  options_.classes = {"cat", "horse"};
  EXPECT_THAT(Freeze(Coco({{Box(1)}})),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("horse")));
  options_.classes = {"cat", "cat"};
  EXPECT_THAT(Freeze(Coco({{Box(1)}})),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("cat")));
}

// What the model is measured with is asked for explicitly: without it the training isn't what was
// asked.
TEST_F(TrainingDataTest, AnOfficialValidationSetWithoutItsImagesIsRefused) {
  WriteImage("a0.png", 0);
  folder_.Write("val/other.png", "x");
  options_.validation = folder_.Write("val.json", Coco({{Box(1)}, {Box(2)}}, /*first=*/7));
  options_.validation_images = folder_.path() + "/val";

  EXPECT_THAT(
      Freeze(Coco({{Box(1)}})),
      StatusIs(absl::StatusCode::kNotFound,
               AllOf(HasSubstr("--validation_images=" + options_.validation_images + ": none of"),
                     HasSubstr("2 images of --validation="), HasSubstr("'a7.png'"))));
  options_.validation_images = "";
  EXPECT_THAT(Freeze(Coco({{Box(1)}})),
              StatusIs(absl::StatusCode::kNotFound,
                       AllOf(HasSubstr("--images="), HasSubstr("2 images of --validation="))));
}

TEST_F(TrainingDataTest, AnOfficialValidationSetWithoutObjectsOfTheClassesIsRefused) {
  WriteImage("a0.png", 0);
  WriteImage("a1.png", 50);
  const std::string crowd =
      R"("category_id":1,"iscrowd":1,"area":400,"bbox":[4,4,20,20],"segmentation":)"
      R"({"size":[48,64],"counts":[0,3072]})";
  for (const std::string& annotation : {Box(2), crowd}) {
    options_.validation = folder_.Write("val.json", Coco({{annotation}}, /*first=*/1));
    options_.classes = {"cat"};

    EXPECT_THAT(Freeze(Coco({{Box(1)}})),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr("--validation=" + options_.validation),
                               HasSubstr("no object"), HasSubstr("'cat'"))))
        << annotation;
  }
}

// One annotated image of eleven: the split alone gives validation two blank ones.
TEST_F(TrainingDataTest, BlankValidationImagesMeasureNothingAndAreLeftOut) {
  std::vector<std::vector<std::string>> annotations(11);
  annotations[0] = {Box(1)};
  for (int i = 0; i < 11; ++i) WriteImage(absl::StrCat("a", i, ".png"), 20 * i);

  ASSERT_OK_AND_ASSIGN(const TrainingData data, Freeze(Coco(annotations)));

  EXPECT_THAT(data.train.samples, SizeIs(1));
  EXPECT_THAT(data.validation.samples, testing::IsEmpty());
  EXPECT_THAT(data.findings.Lines(),
              testing::Contains(HasSubstr("2 validation images without objects")));
}

TEST_F(TrainingDataTest, TrainingImagesThatAreNowhereAreNamedBesideAValidationSet) {
  WriteImage("a5.png", 50);
  options_.validation = folder_.Write("val.json", Coco({{Box(1)}}, /*first=*/5));

  EXPECT_THAT(Freeze(Coco({{Box(1)}, {Box(1)}})),
              StatusIs(absl::StatusCode::kNotFound,
                       AllOf(HasSubstr("--images="), HasSubstr("none of the 2 images of --data="),
                             HasSubstr("'a0.png'"))));
}

TEST_F(TrainingDataTest, ImagesThatAreNowhereAreNamed) {
  folder_.Write("images/other.png", "x");

  EXPECT_THAT(Freeze(Coco({{Box(1)}, {Box(2)}})),
              StatusIs(absl::StatusCode::kNotFound,
                       AllOf(HasSubstr("--images="), HasSubstr("none of the 2 images"),
                             HasSubstr("'a0.png'"))));
  options_.images = folder_.path() + "/nowhere";
  EXPECT_THAT(FreezeTrainingData(options_, {}, folder_.path() + "/out"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("there is no such folder")));
}

TEST_F(TrainingDataTest, LabelStudiosExportIsRecognised) {
  WriteImage("a0.png", 0);
  WriteImage("a1.png", 50);
  for (const std::string& json : {absl::StrCat("[", Task(0), ",", Task(1), "]"),
                                  absl::StrCat(R"({"tasks":[)", Task(0), ",", Task(1), "]}")}) {
    ASSERT_OK_AND_ASSIGN(const TrainingData data, Freeze(json));
    EXPECT_THAT(data.train.classes, ElementsAre("bolt"));
    EXPECT_THAT(data.train.samples, SizeIs(1));
    EXPECT_THAT(data.validation.samples, SizeIs(1));
  }
}

TEST_F(TrainingDataTest, ALabelConfigNamesTheClassesOfLabelStudiosAnnotationsAlone) {
  WriteImage("a0.png", 0);
  WriteImage("a1.png", 50);
  options_.label_config = folder_.Write("config.xml",
                                        R"(<View><Image name="image" value="$image"/>
      <RectangleLabels name="label" toName="image"><Label value="bolt" alias="cat"/>
      </RectangleLabels></View>)");
  ASSERT_OK_AND_ASSIGN(const TrainingData coco, Freeze(Coco({{Box(1)}, {Box(2)}})));
  EXPECT_THAT(coco.train.classes, ElementsAre("cat", "dog"));

  options_.validation = folder_.Write("val.json", Coco({{Box(1)}}, /*first=*/1));
  ASSERT_OK_AND_ASSIGN(const TrainingData data, Freeze(absl::StrCat("[", Task(0), "]")));
  EXPECT_THAT(data.train.classes, ElementsAre("cat"));
}

}  // namespace
}  // namespace trainer
