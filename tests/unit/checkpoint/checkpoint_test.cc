#include "checkpoint/checkpoint.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "checkpoint/content_hash.h"
#include "tests/testing/checkpoint_files.h"

namespace checkpoint {
namespace {

using testing::Bytes;
using ::testing::HasSubstr;
using testing::LegacyPth;
using testing::OrderedDict;
using ::testing::StartsWith;
using testing::Storage;
using testing::Str;
using testing::Tensor;
using testing::ZipPth;
using namespace std::string_literals;

const std::string kTensors = OrderedDict({Str("w"), Tensor(Storage("0", 1), 0, {1}, {1})});

class CheckpointTest : public ::testing::Test {
 protected:
  ~CheckpointTest() override { std::filesystem::remove(path_); }

  const std::string& Write(const std::string& bytes) const {
    std::ofstream(path_, std::ios::binary) << bytes;
    return path_;
  }
  std::string ErrorOf(const std::string& bytes) const {
    return std::string(ReadCheckpoint(Write(bytes)).status().message());
  }
  std::string HashOf(const std::string& bytes) const {
    return ReadCheckpoint(Write(bytes)).value().content_hash;
  }

  const std::string path_ = ::testing::TempDir() + "checkpoint_test_" + std::to_string(getpid());
};

TEST_F(CheckpointTest, TheFormatIsToldByTheFirstBytes) {
  const std::string header = R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})";
  std::string safetensors;
  AppendLittleEndian(safetensors, std::uint64_t{header.size()});
  for (const auto& [bytes, format] : {std::pair(ZipPth(kTensors, {{"0", "1234"}}), "zip"),
                                      std::pair(LegacyPth(kTensors, {{"0", "1234"}}), "legacy"),
                                      std::pair(safetensors + header + "x", "safetensors")}) {
    const auto read = ReadCheckpoint(Write(bytes));
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_STREQ(read->format, format);
    EXPECT_NE(Find(read->state_dict, "w"), nullptr);
    EXPECT_EQ(Find(read->state_dict, "v"), nullptr);
  }
}

TEST_F(CheckpointTest, TensorsOutliveTheFileAndTheCheckpoint) {
  TensorView view;
  {
    auto read = ReadCheckpoint(Write(ZipPth(kTensors, {{"0", "1234"}})));
    ASSERT_TRUE(read.ok()) << read.status();
    view = read->state_dict[0].second;
  }
  std::filesystem::remove(path_);

  std::string scratch;
  EXPECT_EQ(ContiguousBytes(view, scratch), "1234");
}

TEST_F(CheckpointTest, OtherFilesAreRecognised) {
  EXPECT_THAT(ErrorOf("<!DOCTYPE html><title>404</title>"), HasSubstr("web page"));
  EXPECT_THAT(ErrorOf("version https://git-lfs.github.com/spec/v1\n"), HasSubstr("Git LFS"));
  EXPECT_THAT(ErrorOf("\x80\x04N."), HasSubstr("Python pickle"));
  EXPECT_THAT(ErrorOf(std::string(257, 'x') + "ustar" + std::string(250, 'x')), HasSubstr("tar"));
  EXPECT_THAT(ErrorOf("hello"), HasSubstr("not a checkpoint"));
  EXPECT_THAT(ErrorOf("h"), HasSubstr("not a checkpoint"));
}

TEST_F(CheckpointTest, ErrorsBeginWithThePath) {
  EXPECT_THAT(ErrorOf("hello"), StartsWith(path_ + ": "));
  EXPECT_THAT(ErrorOf(""), StartsWith(path_ + ": empty file"));
  std::filesystem::remove(path_);
  const absl::Status missing = ReadCheckpoint(path_).status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.message()), StartsWith(path_ + ": "));
  EXPECT_THAT(std::string(ReadCheckpoint(::testing::TempDir()).status().message()),
              HasSubstr("not a regular file"));
}

TEST_F(CheckpointTest, AFileThatIsOpenIsReadThroughItsHandleAndNamedAsBefore) {
  Write(ZipPth(kTensors, {{"0", "1234"}}));
  const int file = open(path_.c_str(), O_PATH | O_CLOEXEC);
  const std::string handle = "/proc/self/fd/" + std::to_string(file);
  std::filesystem::remove(path_);
  Write("hello");  // another file

  EXPECT_TRUE(ReadCheckpoint(path_, handle).ok());
  close(file);
  const absl::Status gone = ReadCheckpoint(path_, handle).status();
  EXPECT_THAT(std::string(gone.message()), StartsWith(path_ + ": "));
}

TEST_F(CheckpointTest, TheHashFollowsTheContentNotTheArchivesName) {
  const auto zip = [](const std::string& folder, const std::string& payload) {
    return testing::Zip({{.name = folder + "/data.pkl", .payload = testing::Program(kTensors)},
                         {.name = folder + "/data/0", .payload = payload}});
  };
  const std::string hash = HashOf(zip("archive", "1234"));

  EXPECT_EQ(hash.size(), 64u);
  EXPECT_EQ(HashOf(zip("another_name", "1234")), hash);
  EXPECT_NE(HashOf(zip("archive", "1235")), hash);
}

TEST_F(CheckpointTest, TheHashOfALegacyFileCoversEveryByte) {
  const std::string hash = HashOf(LegacyPth(kTensors, {{"0", "1234"}}));

  EXPECT_NE(HashOf(LegacyPth(kTensors, {{"0", "1235"}})), hash);
  EXPECT_EQ(HashOf(LegacyPth(kTensors, {{"0", "1234"}})), hash);
}

TEST(ContentHashTest, ZipsWithoutCrcsAreHashedByTheirBytes) {
  const std::vector<ZipEntry> entries = {{.name = "a/0", .size = 1, .crc32 = 0}};

  EXPECT_NE(HashZip("one", entries), HashZip("two", entries));
  EXPECT_EQ(HashZip("one", entries), HashBytes("one"));
}

TEST(ContentHashTest, EveryChunkCounts) {
  std::string bytes(20 << 20, 'x');  // three chunks
  const std::string hash = HashBytes(bytes);
  for (const std::size_t position : {std::size_t{0}, std::size_t{10} << 20, bytes.size() - 1}) {
    bytes[position] = 'y';
    EXPECT_NE(HashBytes(bytes), hash);
    bytes[position] = 'x';
  }
  EXPECT_EQ(HashBytes(bytes), hash);
}

// A tensor over `bytes`, which outlive it.
TensorView Int16s(const std::string& bytes, std::vector<std::int64_t> shape) {
  TensorView view{.dtype = DType::kInt16,
                  .shape = std::move(shape),
                  .data = reinterpret_cast<const std::byte*>(bytes.data())};
  view.strides = ContiguousStrides(view.shape);
  return view;
}

TEST(HashTensorsTest, NamesTypesShapesAndValuesCountAndNoOrder) {
  const auto all = [](std::string_view) { return true; };
  const std::string one = "aabbccdd", other = "aabbccde";
  const StateDict plain = {{"w", Int16s(one, {2, 2})}, {"v", Int16s(one, {4})}};
  const std::string hash = HashTensors(plain, all);

  EXPECT_EQ(HashTensors({plain[1], plain[0]}, all), hash);
  EXPECT_NE(HashTensors({{"u", plain[0].second}, plain[1]}, all), hash) << "a name";
  EXPECT_NE(HashTensors({{"w", Int16s(other, {2, 2})}, plain[1]}, all), hash) << "a value";
  EXPECT_NE(HashTensors({{"w", Int16s(one, {4, 1})}, plain[1]}, all), hash) << "a shape";
  StateDict halves = plain;
  halves[0].second.dtype = DType::kFloat16;
  EXPECT_NE(HashTensors(halves, all), hash) << "a type";
}

TEST(HashTensorsTest, TensorsThatDoNotCountMakeNoDifference) {
  const std::string bytes = "aabb";
  const StateDict encoder = {{"encoder.w", Int16s(bytes, {2})}};
  StateDict both = encoder;
  both.emplace_back("decoder.w", Int16s(bytes, {2}));
  const auto counts = [](std::string_view name) { return name.starts_with("encoder."); };

  EXPECT_EQ(HashTensors(both, counts), HashTensors(encoder, counts));
  EXPECT_NE(HashTensors(both, counts), HashTensors({}, counts));
}

}  // namespace
}  // namespace checkpoint
