#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/pickle_reader.h"
#include "checkpoint/pth_writer.h"
#include "checkpoint/safetensors_writer.h"
#include "checkpoint/zip_reader.h"
#include "files/mapped_file.h"

namespace checkpoint {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A view of `values`, which must outlive it.
template <typename T>
TensorView ViewOf(const std::vector<T>& values, DType dtype, std::vector<std::int64_t> shape) {
  TensorView view{.dtype = dtype,
                  .shape = std::move(shape),
                  .data = reinterpret_cast<const std::byte*>(values.data())};
  view.strides = ContiguousStrides(view.shape);
  return view;
}

std::vector<float> Floats(const TensorView& view) {
  std::string scratch;
  const std::string_view bytes = ContiguousBytes(view, scratch);
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

std::string Content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class WriterTest : public ::testing::Test {
 protected:
  WriterTest() { std::filesystem::create_directories(folder_); }
  ~WriterTest() override { std::filesystem::remove_all(folder_); }

  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  std::size_t FilesWritten() const {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator(folder_), {}));
  }

  const std::vector<float> weight_ = {1, 2, 3, 4, 5, 6};
  const std::vector<std::int64_t> count_ = {7};
  const std::string folder_ =
      ::testing::TempDir() + "/" + ::testing::UnitTest::GetInstance()->current_test_info()->name();
};

TEST_F(WriterTest, PthComesBackWithNamesShapesValuesAndMeta) {
  const StateDict written = {{"a.weight", ViewOf(weight_, DType::kFloat32, {2, 3})},
                             {"a.count", ViewOf(count_, DType::kInt64, {})}};
  const Meta meta{
      .classes = {"cat", "zażółć"}, .config_text = "x = 1\n", .mmengine_version = "0.10.7"};

  ASSERT_EQ(WritePth(Path("a.pth"), written, meta), absl::OkStatus());
  const auto read = ReadCheckpoint(Path("a.pth"));

  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->wrapper_key, "state_dict");
  EXPECT_EQ(read->meta.classes, meta.classes);
  EXPECT_EQ(read->meta.config_text, meta.config_text);
  EXPECT_EQ(read->meta.mmengine_version, meta.mmengine_version);
  ASSERT_EQ(read->state_dict.size(), 2u);
  EXPECT_EQ(read->state_dict[0].first, "a.weight");
  EXPECT_THAT(read->state_dict[0].second.shape, ElementsAre(2, 3));
  EXPECT_EQ(Floats(read->state_dict[0].second), weight_);
  EXPECT_EQ(read->state_dict[1].second.dtype, DType::kInt64);
  EXPECT_TRUE(read->state_dict[1].second.shape.empty());
}

TEST_F(WriterTest, PthHasWhatATrainingRecordsWhereMmengineLooksForIt) {
  const StateDict written = {{"w", ViewOf(weight_, DType::kFloat32, {6})}};
  ASSERT_EQ(
      WritePth(Path("a.pth"), written, Meta{.classes = {"cat", "dog"}},
               TrainingMeta{.palette = {{220, 20, 60}, {0, 82, 255}}, .epoch = 3, .iter = 70}),
      absl::OkStatus());

  const auto file = files::MappedFile::Open(Path("a.pth"));
  ASSERT_TRUE(file.ok());
  const auto entries = ReadZipDirectory((*file)->bytes());
  ASSERT_TRUE(entries.ok());
  ASSERT_EQ(entries->front().name, "archive/data.pkl");
  const auto pickle = ReadPickle(entries->front().payload);
  ASSERT_TRUE(pickle.ok()) << pickle.status();
  const PickleValue* const meta = FindKey(*pickle->root, "meta");
  ASSERT_NE(meta, nullptr);
  EXPECT_EQ(FindKey(*meta, "epoch")->integer, 3);
  EXPECT_EQ(FindKey(*meta, "iter")->integer, 70);
  const PickleValue* const palette = FindKey(*FindKey(*meta, "dataset_meta"), "palette");
  ASSERT_NE(palette, nullptr);
  ASSERT_TRUE(palette->Is(PickleValue::Kind::kList));
  ASSERT_EQ(palette->items.size(), 2u);
  ASSERT_TRUE(palette->items[1]->Is(PickleValue::Kind::kTuple));
  EXPECT_EQ(palette->items[1]->items[1]->integer, 82);
  EXPECT_EQ(palette->items[1]->items[2]->integer, 255);
}

TEST_F(WriterTest, PthWithoutMetaIsABareStateDict) {
  ASSERT_TRUE(
      WritePth(Path("a.pth"), {{"w", ViewOf(weight_, DType::kFloat32, {6})}}, std::nullopt).ok());

  const auto read = ReadCheckpoint(Path("a.pth"));

  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->wrapper_key, "");
  EXPECT_EQ(Floats(read->state_dict[0].second), weight_);
}

TEST_F(WriterTest, PthPayloadsAreAlignedForUseInPlace) {
  StateDict written;
  for (const char* name : {"a", "bb", "ccc"}) {
    written.emplace_back(name, ViewOf(weight_, DType::kFloat32, {2, 3}));
  }
  ASSERT_TRUE(WritePth(Path("a.pth"), written, std::nullopt).ok());

  const auto read = ReadCheckpoint(Path("a.pth"));

  ASSERT_TRUE(read.ok()) << read.status();
  for (const auto& [name, view] : read->state_dict) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(view.data) % 64, 0u) << name;
  }
}

TEST_F(WriterTest, SharedWeightsStaySharedAndStridedOnesBecomeContiguous) {
  TensorView transposed = ViewOf(weight_, DType::kFloat32, {2, 3});
  std::swap(transposed.shape[0], transposed.shape[1]);
  std::swap(transposed.strides[0], transposed.strides[1]);
  const StateDict written = {{"a", ViewOf(weight_, DType::kFloat32, {2, 3})},
                             {"b", ViewOf(weight_, DType::kFloat32, {6})},
                             {"t", transposed}};

  ASSERT_TRUE(WritePth(Path("a.pth"), written, std::nullopt).ok());
  const auto read = ReadCheckpoint(Path("a.pth"));

  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->state_dict[0].second.data, read->state_dict[1].second.data);
  EXPECT_THAT(Floats(read->state_dict[2].second), ElementsAre(1, 4, 2, 5, 3, 6));
}

TEST_F(WriterTest, TheSameWeightsGiveTheSameFile) {
  const StateDict written = {{"w", ViewOf(weight_, DType::kFloat32, {2, 3})}};

  ASSERT_TRUE(WritePth(Path("a.pth"), written, Meta{}).ok());
  ASSERT_TRUE(WritePth(Path("b.pth"), written, Meta{}).ok());

  EXPECT_EQ(Content(Path("a.pth")), Content(Path("b.pth")));
}

TEST_F(WriterTest, AFailedWriteLeavesTheOldFileAndNothingElse) {
  const StateDict written = {{"w", ViewOf(weight_, DType::kFloat32, {6})}};
  ASSERT_TRUE(WritePth(Path("a.pth"), written, std::nullopt).ok());
  std::filesystem::create_directory(Path("folder.pth"));

  // A folder can't be replaced by a file, which shows only at the very end.
  const absl::Status status = WritePth(Path("folder.pth"), written, std::nullopt);

  EXPECT_THAT(std::string(status.message()), HasSubstr("folder.pth"));
  EXPECT_EQ(FilesWritten(), 2u);
}

TEST_F(WriterTest, ANameGivenTwiceIsRefused) {
  const StateDict written = {{"w", ViewOf(weight_, DType::kFloat32, {6})},
                             {"w", ViewOf(weight_, DType::kFloat32, {6})}};

  EXPECT_EQ(WritePth(Path("a.pth"), written, std::nullopt).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(WriteSafetensors(Path("a.safetensors"), written, {}).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(WriterTest, AMissingFolderIsNamed) {
  const absl::Status status = WritePth("/nowhere/a.pth", {}, std::nullopt);

  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("/nowhere/a.pth"));
}

TEST_F(WriterTest, SafetensorsComeBackAligned) {
  const std::vector<std::uint8_t> flags = {1, 0, 1};
  const StateDict written = {{"flags", ViewOf(flags, DType::kBool, {3})},
                             {"weight", ViewOf(weight_, DType::kFloat32, {3, 2})}};
  const Meta meta{.classes = {"a \"quoted\" cat", "dog"}, .config_text = "x = 1\n"};

  ASSERT_EQ(WriteSafetensors(Path("a.safetensors"), written, meta), absl::OkStatus());
  const auto read = ReadCheckpoint(Path("a.safetensors"));

  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->meta.classes, meta.classes);
  EXPECT_EQ(read->meta.config_text, meta.config_text);
  const TensorView* weight = Find(read->state_dict, "weight");
  ASSERT_NE(weight, nullptr);
  EXPECT_EQ(Floats(*weight), weight_);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(weight->data) % 8, 0u);
  EXPECT_THAT(Find(read->state_dict, "flags")->shape, ElementsAre(3));
}

}  // namespace
}  // namespace checkpoint
