#include "dataset/revision.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <utility>

#include "hash/sha256.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace dataset {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

namespace fs = std::filesystem;

// A header is all that is looked at: a BMP of so many pixels, made unique by `pixel`.
std::string Bmp(int width, int height, char pixel) {
  std::string bytes = duet_testing::ReadFile(DUET_TEST_DATA "/images/rgb.bmp");
  const auto put = [&bytes](std::size_t at, int value) {
    for (std::size_t i = 0; i < 4; ++i) bytes[at + i] = static_cast<char>(value >> (8 * i));
  };
  put(18, width);
  put(22, height);
  bytes.back() = pixel;
  return bytes;
}

// Ten images with a cat each, of which two have a dog as well; the bytes by name.
class RevisionTest : public testing::Test {
 protected:
  RevisionTest() {
    data_.classes = {"cat", "dog"};
    for (int i = 0; i < 10; ++i) {
      Sample& sample = data_.samples.emplace_back();
      sample.id = std::to_string(i + 1);
      sample.annotation_id = std::to_string(100 + i);
      sample.image = "a" + std::to_string(i) + ".bmp";
      sample.size = {20, 10};
      sample.objects.push_back({.class_index = 0,
                                .box = {1, 1, 5.123456789F, 5},
                                .rotated_box = {},
                                .mask = vision::Mask{{20, 10}, {{1, 1, 5}}},
                                .area = 4});
      if (i % 5 == 0) {
        sample.objects.push_back(
            {.class_index = 1, .box = {2, 2, 3, 3}, .rotated_box = {}, .mask = {}, .area = 1});
      }
      images_[sample.image] = Bmp(20, 10, static_cast<char>(i));
    }
  }

  absl::StatusOr<Revision> Write(const Dataset& data, const RevisionOptions& options = {}) {
    return WriteRevision(
        data,
        [this](const Sample& sample) -> absl::StatusOr<std::string> {
          const auto found = images_.find(sample.image);
          if (found == images_.end()) return absl::NotFoundError("no such file");
          return found->second;
        },
        options, directory_.path() + "/set", &findings_);
  }
  std::string Path(const std::string& name) const { return directory_.path() + "/set/" + name; }

  duet_testing::TempDir directory_;
  Dataset data_;
  std::map<std::string, std::string> images_;
  Findings findings_;
};

TEST_F(RevisionTest, IsReadAsItWasWritten) {
  ASSERT_OK_AND_ASSIGN(const Revision written, Write(data_));
  ASSERT_OK_AND_ASSIGN(const Revision read, ReadRevision(directory_.path() + "/set", written.id));

  EXPECT_EQ(read.sides, written.sides);
  EXPECT_EQ(read.all_sides, written.all_sides);
  EXPECT_THAT(read.dataset.classes, ElementsAre("cat", "dog"));
  ASSERT_THAT(read.dataset.samples, SizeIs(10));
  std::vector<std::string> ids;
  for (const Sample& sample : read.dataset.samples) {
    ids.push_back(sample.id);
    EXPECT_EQ(sample.annotation_id, std::to_string(std::stoi(sample.id) + 99));
    EXPECT_EQ(sample.objects[0].mask, data_.samples[0].objects[0].mask);
    EXPECT_EQ(duet_testing::ReadFile(Path(sample.image)),
              images_["a" + std::to_string(std::stoi(sample.id) - 1) + ".bmp"]);
  }
  std::sort(ids.begin(), ids.end());
  EXPECT_THAT(ids, ElementsAre("1", "10", "2", "3", "4", "5", "6", "7", "8", "9"));
  EXPECT_EQ(std::count(read.sides.begin(), read.sides.end(), Side::kValidation), 2);
  EXPECT_TRUE(findings_.empty());
}

TEST_F(RevisionTest, TheSameTasksInAnotherOrderAreTheSameRevision) {
  ASSERT_OK_AND_ASSIGN(const Revision first, Write(data_));
  std::reverse(data_.samples.begin(), data_.samples.end());
  ASSERT_OK_AND_ASSIGN(const Revision second, Write(data_));
  EXPECT_EQ(first.id, second.id);

  data_.samples[0].objects[0].box.x_max = 6;
  ASSERT_OK_AND_ASSIGN(const Revision changed, Write(data_));
  EXPECT_NE(changed.id, first.id);
  EXPECT_EQ(changed.all_sides, first.all_sides);
}

TEST_F(RevisionTest, ImagesKeepTheirSidesAsTasksComeAndGo) {
  Dataset part{data_.classes, {data_.samples.begin(), data_.samples.begin() + 4}};
  ASSERT_OK_AND_ASSIGN(const Revision first, Write(part));
  Dataset others{data_.classes, {data_.samples.begin() + 4, data_.samples.end()}};
  ASSERT_OK_AND_ASSIGN(const Revision second, Write(others, {.former = first.all_sides}));
  ASSERT_OK_AND_ASSIGN(const Revision third, Write(data_, {.former = second.all_sides}));

  EXPECT_EQ(second.all_sides.size(), 10U) << "of images that are gone, too";
  for (const auto& [image, side] : first.all_sides) EXPECT_EQ(third.all_sides.at(image), side);
  for (const auto& [image, side] : second.all_sides) EXPECT_EQ(third.all_sides.at(image), side);
}

// Evaluations and the training's own rules see what the file said.
TEST_F(RevisionTest, BoxesStayAsTheyWereWritten) {
  data_.samples[0].objects[0].box = {-4, 2, 30, 2};
  data_.samples[0].objects[0].ignore = true;

  ASSERT_OK_AND_ASSIGN(const Revision revision, Write(data_));

  const auto first = std::find_if(revision.dataset.samples.begin(), revision.dataset.samples.end(),
                                  [](const Sample& sample) { return sample.id == "1"; });
  ASSERT_THAT(first->objects, SizeIs(2));
  EXPECT_EQ(first->objects[0].box, (vision::Box{-4, 2, 30, 2}));
  EXPECT_TRUE(first->objects[0].ignore);
}

TEST_F(RevisionTest, AStoredImageThatHasChangedIsWrittenAnew) {
  ASSERT_OK_AND_ASSIGN(const Revision revision, Write(data_));
  const std::string path = Path(revision.dataset.samples[3].image);
  const std::string contents = duet_testing::ReadFile(path);
  std::string changed = contents;  // of the same length
  changed[changed.size() / 2] ^= 1;
  std::ofstream(path) << changed;

  ASSERT_OK_AND_ASSIGN(const Revision again, Write(data_));

  EXPECT_EQ(again.id, revision.id);
  EXPECT_EQ(duet_testing::ReadFile(path), contents);
}

TEST_F(RevisionTest, WhatHasChangedIsNoticed) {
  ASSERT_OK_AND_ASSIGN(const Revision revision, Write(data_));
  const std::string folder = "revisions/" + revision.id + "/";
  for (const std::string& name : {revision.dataset.samples[3].image, folder + "train.json",
                                  folder + "validation.json", folder + "manifest.json"}) {
    const std::string contents = duet_testing::ReadFile(Path(name));
    std::string changed = contents;
    changed[changed.size() / 2] ^= 1;
    std::ofstream(Path(name)) << changed;
    EXPECT_THAT(ReadRevision(directory_.path() + "/set", revision.id),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr(name)));
    fs::remove(Path(name));
    EXPECT_FALSE(ReadRevision(directory_.path() + "/set", revision.id).ok()) << name;
    std::ofstream(Path(name)) << contents;
    EXPECT_THAT(ReadRevision(directory_.path() + "/set", revision.id), IsOk());
  }
  EXPECT_THAT(ReadRevision(directory_.path() + "/set", "../" + revision.id.substr(3)),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no revision's id")));
  EXPECT_THAT(ReadRevision(directory_.path() + "/set", "0123456789abcdef"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("manifest.json")));
}

TEST_F(RevisionTest, ImagesThatCannotBeUsedAreLeftOutAndCounted) {
  images_.erase("a0.bmp");
  images_["a1.bmp"] = "hello";
  images_["a2.bmp"] = Bmp(10, 20, 2);
  data_.samples[3].size = {};  // annotated as empty: the image says it
  data_.samples[3].objects.clear();

  ASSERT_OK_AND_ASSIGN(const Revision revision, Write(data_));

  EXPECT_THAT(revision.dataset.samples, SizeIs(7));
  ASSERT_THAT(findings_.Lines(), SizeIs(3));
  EXPECT_EQ(findings_.Lines()[0],
            "1 images that can't be found, left out; the first: 'a0.bmp' of task 1: no such file");
  EXPECT_THAT(findings_.Lines()[1],
              HasSubstr("1 files that are no images, left out; the first: 'a1"));
  EXPECT_EQ(findings_.Lines()[2],
            "1 images of another size than what was annotated, left out; the first: 'a2.bmp' of "
            "task 3: 10x20 upright, annotated as 20x10");

  images_.clear();
  EXPECT_THAT(Write(data_), StatusIs(absl::StatusCode::kFailedPrecondition,
                                     HasSubstr("none of 10 samples can be used")));
}

TEST_F(RevisionTest, OneImageIsARevisionToo) {
  data_.samples.resize(1);
  data_.samples[0].image_bytes = std::make_shared<const std::string>(images_["a0.bmp"]);
  images_.clear();

  ASSERT_OK_AND_ASSIGN(const Revision revision, Write(data_));

  EXPECT_THAT(revision.sides, ElementsAre(Side::kTrain));
  EXPECT_THAT(ReadRevision(directory_.path() + "/set", revision.id), IsOk());
}

TEST_F(RevisionTest, ADirectoryRemembersTheSidesOfAllItsRevisions) {
  const std::string set = directory_.path() + "/set";
  ASSERT_OK_AND_ASSIGN(const Sides none, ReadSides(set));
  EXPECT_TRUE(none.empty());
  Dataset part{data_.classes, {data_.samples.begin(), data_.samples.begin() + 4}};
  ASSERT_OK_AND_ASSIGN(const Revision first, Write(part));
  ASSERT_OK_AND_ASSIGN(const Sides four, ReadSides(set));
  EXPECT_EQ(four, first.all_sides);
  part.samples.assign(data_.samples.begin() + 4, data_.samples.end());
  ASSERT_OK_AND_ASSIGN(const Revision second, Write(part, {.former = four}));
  fs::create_directories(set + "/revisions/0000000000000000");  // an interrupted writer's

  ASSERT_OK_AND_ASSIGN(const Sides all, ReadSides(set));

  EXPECT_EQ(all, second.all_sides);
  EXPECT_EQ(all.size(), 10U);

  fs::remove_all(Path("revisions/" + first.id));
  ASSERT_OK_AND_ASSIGN(const Sides of_the_second, ReadSides(set));
  EXPECT_EQ(of_the_second, all);
}

TEST_F(RevisionTest, SidesThatContradictEachOtherAreAnError) {
  ASSERT_OK_AND_ASSIGN(const Revision first, Write(data_));
  Sides others = first.all_sides;
  for (auto& [image, side] : others) {
    side = side == Side::kTrain ? Side::kValidation : Side::kTrain;
  }
  ASSERT_OK_AND_ASSIGN(const Revision second, Write(data_, {.former = others}));

  EXPECT_THAT(ReadSides(directory_.path() + "/set"),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("on another side")));

  std::ofstream(Path("revisions/" + first.id + "/manifest.json")) << "{}";
  EXPECT_THAT(ReadSides(directory_.path() + "/set"),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr(first.id)));
}

TEST_F(RevisionTest, WhatCannotBeWrittenIsAnError) {
  directory_.Write("set", "a file where a folder should be");
  EXPECT_THAT(Write(data_), testing::Not(IsOk()));
}

}  // namespace
}  // namespace dataset
