#include "checkpoint/safetensors_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>

#include "checkpoint/byte_order.h"

namespace checkpoint {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string File(const std::string& header, const std::string& data) {
  std::string file;
  AppendLittleEndian(file, std::uint64_t{header.size()});
  return file + header + data;
}

absl::StatusOr<Checkpoint> Read(std::string bytes) {
  auto file = std::make_shared<const std::string>(std::move(bytes));
  return ReadSafetensors(*file, file);
}

std::string ErrorOf(const std::string& bytes) {
  return std::string(Read(bytes).status().message());
}

const std::string kTwo = File(R"({"__metadata__":{"classes":"[\"cat\",\"dog\"]","config":"x = 1"},)"
                              R"("b":{"dtype":"I8","shape":[2],"data_offsets":[8,10]},)"
                              R"("a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}} )",
                              std::string(10, '\1'));

TEST(SafetensorsReaderTest, TensorsAndMeta) {
  const auto read = Read(kTwo);

  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->state_dict.size(), 2u);
  EXPECT_EQ(read->state_dict[0].first, "a");
  EXPECT_EQ(read->state_dict[0].second.dtype, DType::kFloat32);
  EXPECT_THAT(read->state_dict[0].second.shape, ElementsAre(1, 2));
  EXPECT_THAT(read->state_dict[0].second.strides, ElementsAre(2, 1));
  EXPECT_EQ(read->state_dict[1].second.data - read->state_dict[0].second.data, 8);
  EXPECT_THAT(read->meta.classes, ElementsAre("cat", "dog"));
  EXPECT_EQ(read->meta.config_text, "x = 1");
}

TEST(SafetensorsReaderTest, EveryTypeIsItsOwn) {
  // As the format's documentation names them; sizes in bytes.
  const struct {
    const char* name;
    DType dtype;
    std::size_t size;
  } kTypes[] = {{"F64", DType::kFloat64, 8}, {"F32", DType::kFloat32, 4},
                {"F16", DType::kFloat16, 2}, {"BF16", DType::kBFloat16, 2},
                {"I64", DType::kInt64, 8},   {"I32", DType::kInt32, 4},
                {"I16", DType::kInt16, 2},   {"I8", DType::kInt8, 1},
                {"U8", DType::kUInt8, 1},    {"BOOL", DType::kBool, 1}};
  for (const auto& type : kTypes) {
    const auto read =
        Read(File(std::string(R"({"a":{"dtype":")") + type.name +
                      R"(","shape":[3],"data_offsets":[0,)" + std::to_string(3 * type.size) + "]}}",
                  std::string(3 * type.size, 'x')));
    ASSERT_TRUE(read.ok()) << type.name << ": " << read.status();
    EXPECT_EQ(read->state_dict[0].second.dtype, type.dtype) << type.name;
  }
}

TEST(SafetensorsReaderTest, ClassesMayBeLines) {
  const auto read = Read(File(R"({"__metadata__":{"classes":"cat\ntraffic light\n"},)"
                              R"("a":{"dtype":"U8","shape":[],"data_offsets":[0,1]}})",
                              "x"));

  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_THAT(read->meta.classes, ElementsAre("cat", "traffic light"));
}

TEST(SafetensorsReaderTest, TruncatedAnywhereIsAnError) {
  for (std::size_t length = 0; length < kTwo.size(); ++length) {
    EXPECT_FALSE(Read(kTwo.substr(0, length)).ok()) << length;
  }
}

TEST(SafetensorsReaderTest, FlippedBitsNeverReachOutsideOfTheFile) {
  for (std::size_t i = 0; i < kTwo.size() * 8; ++i) {
    std::string flipped = kTwo;
    flipped[i / 8] = static_cast<char>(flipped[i / 8] ^ (1 << i % 8));
    const auto read = Read(flipped);
    if (!read.ok()) continue;
    std::string scratch;
    for (const auto& [name, view] : read->state_dict) {
      const std::string_view bytes = ContiguousBytes(view, scratch);
      EXPECT_EQ(std::string(bytes), bytes);  // which reads every one of them
    }
  }
}

TEST(SafetensorsReaderTest, DamagedHeadersAreErrors) {
  const std::string data(8, '\1');
  for (const char* header : {
           R"({})",
           R"({"a":1})",
           R"({"a":{}})",
           R"({"a":{"dtype":"F8","shape":[2],"data_offsets":[0,8]}})",
           R"({"a":{"dtype":"F32","shape":2,"data_offsets":[0,8]}})",
           R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})",
           R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})",
           R"({"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})",
           R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,9]}})",
           R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})",
           R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}})",
           R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}})",
           R"({"a":{"dtype":"F32","shape":[0,4611686018427387904,4],"data_offsets":[0,8]}})",
           R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551615]}})",
           R"({"a":[)",
           R"([1])",
       }) {
    EXPECT_FALSE(Read(File(header, data)).ok()) << header;
  }
  EXPECT_FALSE(Read(File("{" + std::string(100000, '['), data)).ok());  // deep nesting
}

TEST(SafetensorsReaderTest, HolesOverlapsAndNamesGivenTwiceAreErrors) {
  const auto tensor = [](const char* name, int begin, int end) {
    const std::string range = "[" + std::to_string(begin) + "," + std::to_string(end) + "]";
    return "\"" + std::string(name) + R"(":{"dtype":"U8","shape":[)" + std::to_string(end - begin) +
           R"(],"data_offsets":)" + range + "}";
  };
  const auto file = [&](const std::string& a, const std::string& b) {
    return File("{" + a + "," + b + "}", "12345678");
  };

  EXPECT_TRUE(Read(file(tensor("a", 0, 4), tensor("b", 4, 8))).ok());
  EXPECT_THAT(ErrorOf(file(tensor("a", 0, 3), tensor("b", 4, 8))), HasSubstr("begins at byte 4"));
  EXPECT_THAT(ErrorOf(file(tensor("a", 0, 5), tensor("b", 4, 8))), HasSubstr("begins at byte 4"));
  EXPECT_THAT(ErrorOf(file(tensor("a", 0, 4), tensor("b", 4, 7))), HasSubstr("end at byte 7 of 8"));
  EXPECT_FALSE(Read(file(tensor("a", 0, 4), tensor("a", 4, 8))).ok());
}

TEST(SafetensorsReaderTest, AHugeHeaderIsAnErrorNotAnAllocation) {
  std::string file;
  AppendLittleEndian(file, std::uint64_t{0xfffffff0});
  EXPECT_THAT(ErrorOf(file + "{}"), HasSubstr("truncated"));
}

}  // namespace
}  // namespace checkpoint
