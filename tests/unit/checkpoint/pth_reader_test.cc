#include "checkpoint/pth_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "tests/testing/checkpoint_files.h"

namespace checkpoint {
namespace {

using testing::Bytes;
using testing::Call;
using testing::Dict;
using ::testing::ElementsAre;
using testing::Global;
using ::testing::HasSubstr;
using testing::Int;
using testing::Ints;
using ::testing::IsEmpty;
using testing::LegacyPth;
using testing::List;
using testing::None;
using testing::OrderedDict;
using ::testing::SizeIs;
using testing::Storage;
using testing::Str;
using testing::Tensor;
using testing::Tuple;
using testing::ZipPth;

constexpr std::int64_t kHuge = std::numeric_limits<std::int64_t>::max();

// Reads the format it is, and keeps the file as long as its tensors.
absl::StatusOr<Checkpoint> Read(std::string bytes) {
  auto file = std::make_shared<const std::string>(std::move(bytes));
  return LooksLikeZip(*file) ? ReadZipPth(*file, file) : ReadLegacyPth(*file, file);
}

std::string ErrorOf(const std::string& bytes) {
  return std::string(Read(bytes).status().message());
}

// {"w": `tensor`} with a storage "0" of the floats 0 to 5.
std::string SixFloats(const std::string& tensor) {
  return ZipPth(OrderedDict({Str("w"), tensor}), {{"0", Bytes<float>({0, 1, 2, 3, 4, 5})}});
}

std::vector<float> Floats(const TensorView& view) {
  std::string scratch;
  const std::string_view bytes = ContiguousBytes(view, scratch);
  std::vector<float> values(bytes.size() / sizeof(float));
  if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

const std::string kSmallZip =
    ZipPth(Dict({Str("meta"), Dict({Str("cfg"), Str("x = 1")}), Str("state_dict"),
                 OrderedDict({Str("w"), Tensor(Storage("0", 3), 0, {3}, {1})})}),
           {{"0", Bytes<float>({1, 2, 3})}});
const std::string kSmallLegacy = LegacyPth(
    Dict({Str("meta"), Dict({Str("cfg"), Str("x = 1")}), Str("state_dict"),
          OrderedDict({Str("w"), Tensor(Storage("77", 3, "FloatStorage", None()), 0, {3}, {1})})}),
    {{"77", Bytes<float>({1, 2, 3})}});

TEST(PthReaderTest, ATensorIsAViewOfItsStorage) {
  const auto read = Read(SixFloats(Tensor(Storage("0", 6), 1, {2, 2}, {1, 2})));

  ASSERT_TRUE(read.ok()) << read.status();
  const TensorView& view = read->state_dict[0].second;
  EXPECT_EQ(view.dtype, DType::kFloat32);
  EXPECT_THAT(view.shape, ElementsAre(2, 2));
  EXPECT_FALSE(view.IsContiguous());
  EXPECT_THAT(Floats(view), ElementsAre(1, 3, 2, 4));
}

TEST(PthReaderTest, ScalarsAndEmptyTensors) {
  const auto scalar = Read(SixFloats(Tensor(Storage("0", 6), 5, {}, {})));
  ASSERT_TRUE(scalar.ok()) << scalar.status();
  EXPECT_THAT(Floats(scalar->state_dict[0].second), ElementsAre(5));

  const auto empty = Read(
      ZipPth(OrderedDict({Str("w"), Tensor(Storage("0", 0), 0, {0, 7}, {7, 1})}), {{"0", ""}}));
  ASSERT_TRUE(empty.ok()) << empty.status();
  EXPECT_EQ(empty->state_dict[0].second.NumElements(), 0);
}

TEST(PthReaderTest, EveryElementType) {
  for (const auto& [type, dtype] : {
           std::pair("FloatStorage", DType::kFloat32),
           std::pair("DoubleStorage", DType::kFloat64),
           std::pair("HalfStorage", DType::kFloat16),
           std::pair("BFloat16Storage", DType::kBFloat16),
           std::pair("LongStorage", DType::kInt64),
           std::pair("IntStorage", DType::kInt32),
           std::pair("ShortStorage", DType::kInt16),
           std::pair("CharStorage", DType::kInt8),
           std::pair("ByteStorage", DType::kUInt8),
           std::pair("BoolStorage", DType::kBool),
       }) {
    const std::string bytes(2 * SizeOf(dtype), '\1');
    const auto zip = Read(ZipPth(
        OrderedDict({Str("w"), Tensor(Storage("0", 2, type), 1, {1}, {1})}), {{"0", bytes}}));
    const auto legacy =
        Read(LegacyPth(OrderedDict({Str("w"), Tensor(Storage("0", 2, type, None()), 1, {1}, {1})}),
                       {{"0", bytes}}, SizeOf(dtype)));
    ASSERT_TRUE(zip.ok()) << type << zip.status();
    ASSERT_TRUE(legacy.ok()) << type << legacy.status();
    EXPECT_EQ(zip->state_dict[0].second.dtype, dtype);
    EXPECT_EQ(legacy->state_dict[0].second.dtype, dtype);
  }
}

TEST(PthReaderTest, OtherRebuildFunctions) {
  const std::string plain = Tensor(Storage("0", 6), 0, {6}, {1});
  const std::string rebuild_v2 = Global("torch._utils", "_rebuild_tensor_v2");
  const std::string untyped = Tuple({Str("storage"), Global("torch.storage", "UntypedStorage"),
                                     Str("0"), Str("cpu"), Int(24)}) +
                              "Q";
  for (const std::string& tensor : {
           Call(Global("torch._utils", "_rebuild_tensor"),
                {Storage("0", 6), Int(0), Ints({6}), Ints({1})}),
           Call(Global("torch._utils", "_rebuild_tensor_v3"),
                {untyped, Int(0), Ints({6}), Ints({1}), "\x89", OrderedDict({}),
                 Global("torch", "float32")}),
           Call(Global("torch._utils", "_rebuild_parameter"), {plain, "\x88", OrderedDict({})}),
           Call(Global("torch._tensor", "_rebuild_from_type_v2"),
                {rebuild_v2, Global("torch", "Tensor"),
                 Tuple({Storage("0", 6), Int(0), Ints({6}), Ints({1}), "\x89", OrderedDict({})}),
                 Dict({})}),
       }) {
    const auto read = Read(SixFloats(tensor));
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_THAT(Floats(read->state_dict[0].second), ElementsAre(0, 1, 2, 3, 4, 5));
  }
}

TEST(PthReaderTest, TensorsOfOneStorageShareIt) {
  const auto read = Read(ZipPth(OrderedDict({Str("a"), Tensor(Storage("0", 2), 0, {2}, {1}),
                                             Str("b"), Tensor(Storage("0", 2), 0, {2}, {1})}),
                                {{"0", Bytes<float>({1, 2})}}));

  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->state_dict[0].second.data, read->state_dict[1].second.data);
}

TEST(PthReaderTest, LegacyViewsArePartsOfTheirStorage) {
  const std::string view = Tuple({Str("99"), Int(2), Int(3)});  // elements 2, 3 and 4
  const auto file = [&](std::int64_t offset, const std::string& metadata) {
    return LegacyPth(OrderedDict({Str("w"), Tensor(Storage("1", 6, "FloatStorage", metadata),
                                                   offset, {2}, {1})}),
                     {{"1", Bytes<float>({0, 1, 2, 3, 4, 5})}});
  };

  const auto read = Read(file(1, view));

  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_THAT(Floats(read->state_dict[0].second), ElementsAre(3, 4));
  EXPECT_THAT(ErrorOf(file(2, view)), HasSubstr("leaves its storage '1' of 3 elements"));
  EXPECT_FALSE(Read(file(0, Tuple({Str("9"), Int(5), Int(2)}))).ok());
  EXPECT_FALSE(Read(file(0, Tuple({Str("9"), Int(-1), Int(2)}))).ok());
  EXPECT_FALSE(Read(file(0, Tuple({Str("9"), Int(kHuge), Int(kHuge)}))).ok());
}

TEST(PthReaderTest, WrappersAndThePrefixOfDataParallel) {
  const std::string tensors = OrderedDict({Str("module.a"), Tensor(Storage("0", 1), 0, {1}, {1})});
  const testing::StorageBytes storages = {{"0", Bytes<float>({1})}};
  for (const auto& [object, key] :
       {std::pair(Dict({Str("state_dict"), tensors}), "state_dict"),
        std::pair(Dict({Str("model"), tensors}), "model"), std::pair(tensors, ""),
        std::pair(Dict({Str("epoch"), Int(3), Str("model_state_dict"), tensors}),
                  "model_state_dict"),
        std::pair(Dict({Str("model_state"), tensors}), "model_state"),
        std::pair(Dict({Str("net"), tensors}), "net"),
        // Under several, and beside what only has such a name.
        std::pair(Dict({Str("model"), Dict({Str("state_dict"), tensors})}), "model.state_dict"),
        std::pair(Dict({Str("model"), Str("vit_b"), Str("net"), tensors}), "net"),
        std::pair(Dict({Str("model"), Dict({Str("depth"), Int(12)}), Str("model_state"), tensors}),
                  "model_state"),
        // Under a key that nobody knows, if there is one only; an optimizer has no names.
        std::pair(Dict({Str("epoch"), Int(3), Str("network"), tensors}), "network"),
        std::pair(Dict({Str("optimizer"), Dict({Str("state"), Dict({Int(0), tensors})}), Str("sam"),
                        Dict({Str("state_dict"), tensors})}),
                  "sam.state_dict"),
        std::pair(Dict({Str("ema"), tensors, Str("model"), tensors}), "model"),
        // mmengine's comes first.
        std::pair(Dict({Str("net"), OrderedDict({Str("b"), Tensor(Storage("0", 1), 0, {1}, {1})}),
                        Str("state_dict"), tensors}),
                  "state_dict")}) {
    const auto read = Read(ZipPth(object, storages));
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->wrapper_key, key);
    EXPECT_EQ(read->state_dict[0].first, "a");
  }
}

TEST(PthReaderTest, OfTwoUnknownDictionariesNoneIsTaken) {
  const std::string tensors = OrderedDict({Str("a"), Tensor(Storage("0", 1), 0, {1}, {1})});
  EXPECT_THAT(ErrorOf(ZipPth(Dict({Str("student"), tensors, Str("teacher"), tensors}),
                             {{"0", Bytes<float>({1})}})),
              HasSubstr("'student' and 'teacher'"));
}

TEST(PthReaderTest, MetaOfEveryGeneration) {
  const std::string tensors = OrderedDict({Str("a"), Tensor(Storage("0", 1), 0, {1}, {1})});
  const std::string names = Tuple({Str("cat"), Str("dog")});
  for (const std::string& meta : {
           Dict({Str("dataset_meta"), Dict({Str("classes"), names}), Str("cfg"), Str("x = 1")}),
           Dict({Str("dataset_meta"), Dict({Str("CLASSES"), List({Str("cat"), Str("dog")})}),
                 Str("cfg"), Str("x = 1")}),
           Dict({Str("CLASSES"), names, Str("config"), Str("x = 1")}),  // mmdet 2.x
       }) {
    const auto read = Read(
        ZipPth(Dict({Str("meta"), meta, Str("state_dict"), tensors}), {{"0", Bytes<float>({1})}}));
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_THAT(read->meta.classes, ElementsAre("cat", "dog"));
    EXPECT_EQ(read->meta.config_text, "x = 1");
  }
}

// As mmengine stores `classes=('ship')`, a tuple without its comma.
TEST(PthReaderTest, APlainTextIsOneClass) {
  const std::string tensors = OrderedDict({Str("a"), Tensor(Storage("0", 1), 0, {1}, {1})});
  const std::string meta = Dict({Str("dataset_meta"), Dict({Str("classes"), Str("ship")})});
  const auto read = Read(
      ZipPth(Dict({Str("meta"), meta, Str("state_dict"), tensors}), {{"0", Bytes<float>({1})}}));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_THAT(read->meta.classes, ElementsAre("ship"));
}

TEST(PthReaderTest, MetaOfAnotherShapeIsNoMeta) {
  const std::string tensors = OrderedDict({Str("a"), Tensor(Storage("0", 1), 0, {1}, {1})});
  for (const std::string& meta :
       {None(), Int(3), Dict({Str("dataset_meta"), Int(1), Str("cfg"), Int(2)}),
        Dict({Str("CLASSES"), Tuple({Int(1)})}), Call(Global("os", "system"), {Str("x")})}) {
    const auto read = Read(
        ZipPth(Dict({Str("meta"), meta, Str("state_dict"), tensors}), {{"0", Bytes<float>({1})}}));
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_THAT(read->meta.classes, IsEmpty());
    EXPECT_EQ(read->meta.config_text, "");
  }
}

TEST(PthReaderTest, WhatIsNoTensorIsLeftOut) {
  const auto read = Read(ZipPth(OrderedDict({Str("steps"), Int(7), Int(3), Int(4), Str("evil"),
                                             Call(Global("os", "system"), {Str("x")}), Str("w"),
                                             Tensor(Storage("0", 1), 0, {1}, {1})}),
                                {{"0", Bytes<float>({1})}}));

  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_THAT(read->state_dict, SizeIs(1));
  EXPECT_EQ(read->state_dict[0].first, "w");
}

TEST(PthReaderTest, TensorsThatLeaveTheirStorageAreErrors) {
  struct Case {
    std::int64_t offset;
    std::vector<std::int64_t> shape, strides;
  };
  for (const Case& bad : std::vector<Case>{
           {0, {7}, {1}},
           {6, {1}, {1}},
           {1, {6}, {1}},
           {0, {2, 3}, {4, 1}},
           {0, {4}, {2}},
           {-1, {1}, {1}},
           {0, {-1}, {1}},
           {0, {2}, {-1}},
           {kHuge, {1}, {1}},
           {1, {2}, {kHuge}},
           {0, {kHuge, 2}, {0, 0}},  // the element count overflows
           {0, {1LL << 32, 1LL << 32}, {1, 1}},
           {0, {2, 2, 2}, {kHuge / 2, kHuge / 2, 2}},
           {0, {2}, {}},
           {0, {}, {1}},
       }) {
    EXPECT_THAT(ErrorOf(SixFloats(Tensor(Storage("0", 6), bad.offset, bad.shape, bad.strides))),
                HasSubstr("tensor 'w'"));
  }
  EXPECT_FALSE(Read(SixFloats(Tensor(Storage("0", 6), 0, std::vector<std::int64_t>(65, 1),
                                     std::vector<std::int64_t>(65, 1))))
                   .ok());
}

TEST(PthReaderTest, ASmallStorageCannotBecomeAHugeTensor) {
  // Stride 0: one element, repeated. Legal, and as much as 16 times the file plus 64 MiB.
  EXPECT_TRUE(Read(SixFloats(Tensor(Storage("0", 6), 0, {1000}, {0}))).ok());
  EXPECT_THAT(ErrorOf(SixFloats(Tensor(Storage("0", 6), 0, {1LL << 40}, {0}))),
              HasSubstr("far more memory"));
}

TEST(PthReaderTest, StoragesThatAreMissingOrTooShortAreNamed) {
  EXPECT_THAT(ErrorOf(SixFloats(Tensor(Storage("1", 6), 0, {6}, {1}))),
              HasSubstr("storage '1' is not in the file"));
  EXPECT_THAT(ErrorOf(SixFloats(Tensor(Storage("0", 7), 0, {6}, {1}))),
              HasSubstr("storage '0' should have 7 elements but has 6"));
  EXPECT_FALSE(Read(SixFloats(Tensor(Storage("0", kHuge), 0, {6}, {1}))).ok());
  EXPECT_FALSE(Read(SixFloats(Tensor(Storage("0", -1), 0, {6}, {1}))).ok());
}

TEST(PthReaderTest, ElementTypesAndTensorsThatAreNotSupportedAreNamed) {
  EXPECT_THAT(ErrorOf(SixFloats(Tensor(Storage("0", 1, "ComplexFloatStorage"), 0, {1}, {1}))),
              HasSubstr("torch.ComplexFloatStorage"));
  EXPECT_THAT(ErrorOf(SixFloats(Tensor(Storage("0", 1, "system"), 0, {1}, {1}))),
              HasSubstr("torch.system"));
  EXPECT_THAT(ErrorOf(SixFloats(Call(Global("torch._utils", "_rebuild_sparse_tensor"), {}))),
              HasSubstr("_rebuild_sparse_tensor"));
  EXPECT_FALSE(Read(SixFloats(Call(Global("torch._utils", "_rebuild_tensor_v2"), {}))).ok());
  EXPECT_FALSE(Read(SixFloats(Call(Global("torch._utils", "_rebuild_tensor_v2"),
                                   {None(), None(), None(), None()})))
                   .ok());
}

TEST(PthReaderTest, DamagedStorageReferencesAreErrors) {
  for (const std::string& id :
       {None(), Tuple({}), Tuple({Str("storage")}), Int(1),
        Tuple({Str("module"), Global("torch", "FloatStorage"), Str("0"), Str("cpu"), Int(6)}),
        Tuple({Str("storage"), Str("FloatStorage"), Str("0"), Str("cpu"), Int(6)}),
        Tuple({Str("storage"), Global("evil", "FloatStorage"), Str("0"), Str("cpu"), Int(6)}),
        Tuple({Str("storage"), Global("torch", "FloatStorage"), Int(0), Str("cpu"), Int(6)})}) {
    EXPECT_FALSE(Read(SixFloats(Tensor(id + "Q", 0, {6}, {1}))).ok());
    EXPECT_FALSE(Read(LegacyPth(OrderedDict({Str("w"), Tensor(id + "Q", 0, {6}, {1})}),
                                {{"0", Bytes<float>({0, 1, 2, 3, 4, 5})}}))
                     .ok());
  }
}

TEST(PthReaderTest, ATensorWrappedInItselfIsAnError) {
  // A parameter of a parameter of … through the memo: the arguments' tuple holds the call.
  const std::string body = Global("torch._utils", "_rebuild_parameter") + "]q\x01" + "0h\x01\x85R";
  std::string deep = Tensor(Storage("0", 6), 0, {6}, {1});
  for (int i = 0; i < 1000; ++i) {
    deep = Call(Global("torch._utils", "_rebuild_parameter"), {deep});
  }
  EXPECT_THAT(ErrorOf(SixFloats(deep)), HasSubstr("too deeply"));
  EXPECT_FALSE(Read(SixFloats(body)).ok());
}

TEST(PthReaderTest, TwoTensorsOfOneNameAreAnError) {
  const std::string tensor = Tensor(Storage("0", 1), 0, {1}, {1});
  const testing::StorageBytes storages = {{"0", Bytes<float>({1})}};
  for (const char* first : {"a", "module.a"}) {
    EXPECT_THAT(ErrorOf(ZipPth(OrderedDict({Str(first), tensor, Str("a"), tensor}), storages)),
                HasSubstr("two tensors named 'a'"));
  }
}

TEST(PthReaderTest, NamesMustBeUtf8) {
  const std::string tensor = Tensor(Storage("0", 1), 0, {1}, {1});
  const testing::StorageBytes storages = {{"0", Bytes<float>({1})}};
  for (const char* bad :
       {"\xff", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc5"}) {
    EXPECT_THAT(ErrorOf(ZipPth(OrderedDict({Str(bad), tensor}), storages)), HasSubstr("UTF-8"));
    EXPECT_THAT(ErrorOf(ZipPth(Dict({Str("state_dict"), OrderedDict({Str("a"), tensor}),
                                     Str("meta"), Dict({Str("CLASSES"), Tuple({Str(bad)})})}),
                               storages)),
                HasSubstr("UTF-8"));
  }
  EXPECT_TRUE(Read(ZipPth(OrderedDict({Str("zażółć/€/😀"), tensor}), storages)).ok());
}

TEST(PthReaderTest, WhatIsNoStateDictIsDescribed) {
  EXPECT_THAT(ErrorOf(ZipPth(Int(3), {})), HasSubstr("holds a number"));
  EXPECT_THAT(
      ErrorOf(ZipPth(Dict({Str("model"), Call(Global("ultralytics.nn", "Model"), {})}), {})),
      HasSubstr("'model' holds a pickled object (ultralytics.nn.Model)"));
  EXPECT_THAT(ErrorOf(ZipPth(Dict({Str("a"), Int(3)}), {})), HasSubstr("no tensors"));
  EXPECT_THAT(ErrorOf(ZipPth(Dict({}), {}, {{.name = "archive/constants.pkl", .payload = "x"}})),
              HasSubstr("TorchScript"));
  EXPECT_THAT(ErrorOf(testing::Zip({{.name = "word/document.xml", .payload = "x"}})),
              HasSubstr("data.pkl"));
  EXPECT_THAT(ErrorOf(testing::Zip({{.name = "a/data.pkl"}, {.name = "b/data.pkl"}})),
              HasSubstr("two data.pkl"));
  EXPECT_THAT(ErrorOf(testing::Zip({{.name = "a/data.pkl", .payload = "x", .method = 8}})),
              HasSubstr("compressed"));
}

TEST(PthReaderTest, BigEndianFilesAreRefused) {
  const std::string tensors = OrderedDict({Str("w"), Tensor(Storage("0", 1), 0, {1}, {1})});
  const testing::StorageBytes storages = {{"0", Bytes<float>({1})}};

  EXPECT_THAT(ErrorOf(ZipPth(tensors, storages, {{.name = "archive/byteorder", .payload = "big"}})),
              HasSubstr("big-endian"));
  EXPECT_TRUE(
      Read(ZipPth(tensors, storages, {{.name = "archive/byteorder", .payload = "little"}})).ok());
  EXPECT_THAT(ErrorOf(LegacyPth(tensors, storages, 4, /*little_endian=*/"\x89")),
              HasSubstr("big-endian"));
}

TEST(PthReaderTest, LegacyStoragesThatDontFitAreErrors) {
  const std::string good = LegacyPth(
      OrderedDict({Str("w"), Tensor(Storage("7", 2, "FloatStorage", None()), 0, {2}, {1})}),
      {{"7", Bytes<float>({1, 2})}});
  ASSERT_TRUE(Read(good).ok());
  for (const std::uint64_t numel : {std::uint64_t{3}, std::uint64_t{1} << 62, ~std::uint64_t{0}}) {
    std::string bad = good.substr(0, good.size() - 16);
    AppendLittleEndian(bad, numel);
    bad += Bytes<float>({1, 2});
    EXPECT_THAT(ErrorOf(bad), HasSubstr("storage '7' (1 of 1"));
  }
  // The list of keys names one that nothing refers to: its size is unknown.
  EXPECT_THAT(ErrorOf(LegacyPth(Dict({}), {{"7", "1234"}})), HasSubstr("nothing refers to"));
  // One key, two element sizes.
  EXPECT_THAT(
      ErrorOf(LegacyPth(OrderedDict({Str("a"), Tensor(Storage("7", 1), 0, {1}, {1}), Str("b"),
                                     Tensor(Storage("7", 1, "LongStorage"), 0, {1}, {1})}),
                        {{"7", "12345678"}})),
      HasSubstr("referred to as"));
}

TEST(PthReaderTest, TruncatedAnywhereIsAnError) {
  for (const std::string& whole : {kSmallZip, kSmallLegacy}) {
    ASSERT_TRUE(Read(whole).ok()) << Read(whole).status();
    for (std::size_t length = 15; length < whole.size(); ++length) {
      EXPECT_FALSE(Read(whole.substr(0, length)).ok()) << length;
    }
  }
}

// What a damaged file means is anybody's guess; that nothing outside of it is read, the sanitizers
// check.
TEST(PthReaderTest, FlippedBitsNeverReachOutsideOfTheFile) {
  for (const std::string& whole : {kSmallZip, kSmallLegacy}) {
    for (std::size_t i = 0; i < whole.size() * 8; ++i) {
      std::string flipped = whole;
      flipped[i / 8] = static_cast<char>(flipped[i / 8] ^ (1 << i % 8));
      const auto read = Read(flipped);
      if (!read.ok()) continue;
      for (const auto& [name, view] : read->state_dict) Floats(view);
    }
  }
}

}  // namespace
}  // namespace checkpoint
