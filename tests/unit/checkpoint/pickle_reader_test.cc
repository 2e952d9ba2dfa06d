#include "checkpoint/pickle_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/testing/checkpoint_files.h"

namespace checkpoint {
namespace {

using testing::Call;
using testing::Dict;
using testing::Global;
using ::testing::HasSubstr;
using testing::Int;
using testing::List;
using testing::None;
using testing::OrderedDict;
using testing::Program;
using ::testing::SizeIs;
using testing::Str;
using testing::Tuple;
using Kind = PickleValue::Kind;
using namespace std::string_literals;

absl::StatusOr<Pickle> Read(const std::string& bytes, const PickleLimits& limits = {}) {
  // Bytes of a temporary would be gone when the values are looked at.
  static std::string kept;
  kept = bytes;
  return ReadPickle(kept, limits);
}

std::string ErrorOf(const std::string& bytes, const PickleLimits& limits = {}) {
  return std::string(Read(bytes, limits).status().message());
}

TEST(PickleReaderTest, PlainValues) {
  const auto pickle = Read(Program(Tuple({
      None(),
      "\x88",
      "\x89",
      "K\xff",
      "M\x01\x02",
      "J\xfe\xff\xff\xff",
      "\x8a\x00"s,
      "\x8a\x01\xff",
      Int(1LL << 40),
      "G\x3f\xf8\0\0\0\0\0\0"s,
      Str("zażółć"),
      "\x8c\x02hi",
      "U\x02py",
      "C\x02\0\xff"s,
  })));

  ASSERT_TRUE(pickle.ok()) << pickle.status();
  const auto& items = pickle->root->items;
  ASSERT_THAT(items, SizeIs(14));
  EXPECT_TRUE(items[0]->Is(Kind::kNone));
  EXPECT_EQ(items[1]->integer, 1);
  EXPECT_TRUE(items[2]->Is(Kind::kBool));
  EXPECT_EQ(items[3]->integer, 255);
  EXPECT_EQ(items[4]->integer, 0x0201);
  EXPECT_EQ(items[5]->integer, -2);
  EXPECT_EQ(items[6]->integer, 0);
  EXPECT_EQ(items[7]->integer, -1);
  EXPECT_EQ(items[8]->integer, 1LL << 40);
  EXPECT_EQ(items[9]->real, 1.5);
  EXPECT_EQ(items[10]->text, "zażółć");
  EXPECT_EQ(items[11]->text, "hi");
  EXPECT_EQ(items[12]->text, "py");
  EXPECT_EQ(items[13]->text, "\0\xff"s);
}

TEST(PickleReaderTest, NumbersOfMoreThan64BitsStayBytes) {
  const auto pickle = Read(std::string(testing::kLegacyMagicPickle));

  ASSERT_TRUE(pickle.ok()) << pickle.status();
  EXPECT_TRUE(pickle->root->Is(Kind::kBigInt));
  EXPECT_EQ(pickle->root->text, "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19");
}

TEST(PickleReaderTest, StopsAfterTheFirstPickle) {
  const std::string first = Program(Int(1));

  const auto pickle = Read(first + Program(Int(2)));

  ASSERT_TRUE(pickle.ok()) << pickle.status();
  EXPECT_EQ(pickle->length, first.size());
}

TEST(PickleReaderTest, TheLastValueOfAKeyCounts) {
  const auto pickle = Read(Program(Dict({Str("a"), Int(1), Str("b"), Int(2), Str("a"), Int(3)})));

  ASSERT_TRUE(pickle.ok()) << pickle.status();
  EXPECT_EQ(FindKey(*pickle->root, "a")->integer, 3);
  EXPECT_EQ(FindKey(*pickle->root, "c"), nullptr);
}

TEST(PickleReaderTest, OrderedDictsAreDictsHoweverTheyAreMade) {
  const std::string name = Global("collections", "OrderedDict");
  for (const std::string& made :
       {OrderedDict({Str("a"), Int(1)}), Call(name, {List({Tuple({Str("a"), Int(1)})})}),
        Call(name, {Dict({Str("a"), Int(1)})}),
        // With attributes, as a state_dict has `_metadata`.
        OrderedDict({Str("a"), Int(1)}) + Dict({Str("_metadata"), Int(9)}) + "b"}) {
    const auto pickle = Read(Program(made));
    ASSERT_TRUE(pickle.ok()) << pickle.status();
    ASSERT_NE(FindKey(*pickle->root, "a"), nullptr);
    EXPECT_EQ(FindKey(*pickle->root, "a")->integer, 1);
  }
}

TEST(PickleReaderTest, CallsAndObjectsAreNotedNotMade) {
  for (const std::string& made : {
           Call(Global("os", "system"), {Str("touch /tmp/owned")}),             // REDUCE
           Global("os", "system") + Tuple({Str("touch /tmp/owned")}) + "\x81",  // NEWOBJ
           Global("os", "system") + Tuple({Str("x")}) + "}" + "\x92",           // NEWOBJ_EX
           Str("os") + Str("system") + "\x93" + Tuple({Str("x")}) + "R",        // STACK_GLOBAL
           Call(Global("os", "system"), {Str("x")}) + Dict({Str("a"), Int(1)}) + "b",
           Call(Global("os", "system"), {Str("x")}) + "(" + Str("a") + Int(1) + "u",
           Call(Global("os", "system"), {Str("x")}) + "(" + Int(1) + "e",
       }) {
    const auto pickle = Read(Program(made));
    ASSERT_TRUE(pickle.ok()) << pickle.status();
    ASSERT_TRUE(pickle->root->Is(Kind::kObject));
    EXPECT_EQ(pickle->root->items[0]->text, "os.system");
  }
}

TEST(PickleReaderTest, Protocol4And5FramesAndMemo) {
  const auto pickle = Read("\x80\x05\x95\x0a\0\0\0\0\0\0\0]\x94\x8c\x01x\x94h\x01\x87\x94."s);

  // x and x again and the empty list make a tuple of three.
  ASSERT_TRUE(pickle.ok()) << pickle.status();
  ASSERT_THAT(pickle->root->items, SizeIs(3));
  EXPECT_TRUE(pickle->root->items[0]->Is(Kind::kList));
  EXPECT_EQ(pickle->root->items[1], pickle->root->items[2]);
}

TEST(PickleReaderTest, AListMayContainItself) {
  const auto pickle = Read("\x80\x02]q\x01h\x01"s + "a.");

  ASSERT_TRUE(pickle.ok()) << pickle.status();
  EXPECT_EQ(pickle->root->items[0], pickle->root);
}

TEST(PickleReaderTest, DoublingOverAndOverCostsNothing) {
  // 2^100000 leaves, if they were copied.
  std::string body = "]";
  for (int i = 0; i < 100000; ++i) body += "q\x01h\x01\x86";

  const auto pickle = Read(Program(body));

  ASSERT_TRUE(pickle.ok()) << pickle.status();
  EXPECT_EQ(pickle->values.size(), 100001u);
}

TEST(PickleReaderTest, DeepNestingIsNotRecursion) {
  const auto pickle = Read(Program(std::string(300000, ']') + std::string(299999, 'a')));

  EXPECT_TRUE(pickle.ok()) << pickle.status();
}

TEST(PickleReaderTest, CopiesThatGrowQuadraticallyAreStopped) {
  // An OrderedDict of a dictionary of 200 entries, 100 times: 5 bytes each, 400 elements.
  const std::string once =
      Global("collections", "OrderedDict") + "q\x02" + "0}(" + std::string(400, 'N') + "u\x85q\x01";
  std::string often = once;
  for (int i = 0; i < 100; ++i) often += "0h\x02h\x01R";

  EXPECT_TRUE(Read(Program(once + "0h\x02h\x01R")).ok());
  EXPECT_THAT(ErrorOf(Program(often)), HasSubstr("copied over and over"));
}

TEST(PickleReaderTest, StepsValuesAndElementsAreBounded) {
  const std::string nine = Program("]]]]]]]]]00000000");  // of which 8 are removed

  EXPECT_TRUE(Read(nine, {.max_steps = 19, .max_values = 9, .max_elements = 9}).ok());
  EXPECT_THAT(ErrorOf(nine, {.max_steps = 18}), HasSubstr("more than 18 steps"));
  EXPECT_THAT(ErrorOf(nine, {.max_values = 8}), HasSubstr("more than 8 values"));
  EXPECT_THAT(ErrorOf(nine, {.max_elements = 8}), HasSubstr("more than 8 values on the stack"));
  const std::string four = Program("](NNNNe");
  EXPECT_TRUE(Read(four, {.max_elements = 5}).ok());
  EXPECT_THAT(ErrorOf(Program("](NNNNe(NNe"), {.max_elements = 6}), HasSubstr("more than 6 items"));
}

TEST(PickleReaderTest, AContainerGrowsAcrossBatchesAndBesideOthers) {
  // As Python writes more than 1000 items: APPENDS again and again. Lists inside grow meanwhile.
  std::string body = "]q\x01";
  for (int i = 0; i < 2000; ++i)
    body +=
        "(K\x01](K\x02K\x03"
        "e]K\x04"
        "ae";

  const auto pickle = Read(Program(body));

  ASSERT_TRUE(pickle.ok()) << pickle.status();
  ASSERT_THAT(pickle->root->items, SizeIs(6000));
  for (std::size_t i = 0; i < 6000; i += 3) {
    ASSERT_EQ(pickle->root->items[i]->integer, 1);
    ASSERT_EQ(pickle->root->items[i + 1]->items[1]->integer, 3);
    ASSERT_EQ(pickle->root->items[i + 2]->items[0]->integer, 4);
  }
}

TEST(PickleReaderTest, TheMemoIsNoLargerThanTheValuesJustify) {
  EXPECT_TRUE(Read(Program("]q\xff")).ok());
  EXPECT_TRUE(Read(Program("]" + std::string(200, '\x94'))).ok());
  for (const std::string& bad :
       {"]" + std::string(300, '\x94'), "]r\x00\x02\x00\x00"s, "]r\xff\xff\xff\xff"s}) {
    EXPECT_THAT(ErrorOf(Program(bad)), HasSubstr("more memo entries than values"));
  }
}

TEST(PickleReaderTest, TruncatedAnywhereIsAnError) {
  const std::string whole = Program(Dict(
      {Str("a"), List({Int(1), Tuple({None()})}), Str("b"), Call(Global("m", "f"), {Int(2)})}));
  ASSERT_TRUE(Read(whole).ok());

  for (std::size_t length = 0; length < whole.size(); ++length) {
    EXPECT_THAT(ErrorOf(whole.substr(0, length)), HasSubstr("damaged pickle")) << length;
  }
}

TEST(PickleReaderTest, LengthsBeyondTheFileAreErrors) {
  for (const std::string& bad :
       {"\x8d\xff\xff\xff\xff\xff\xff\xff\xff"s, "\x8e\xff\xff\xff\xff\xff\xff\xff\x7f"s,
        "X\xff\xff\xff\xff"s, "T\xff\xff\xff\xff"s, "T\x05\0\0\0a"s, "\x8b\xff\xff\xff\xff"s,
        "\x95\xff\xff\xff\xff\xff\xff\xff\xff"s}) {
    EXPECT_FALSE(Read(Program(bad)).ok());
  }
}

TEST(PickleReaderTest, MisusesOfTheStackAreErrors) {
  for (const std::string& bad : {
           ""s,       "0"s,   "NN"s,   "("s,   "(N"s,   "t"s,     "e"s,           "u"s,
           "a"s,      "s"s,   "R"s,    "b"s,   "Q"s,    "2"s,     "\x86"s,
           "(\x85"s,   // the mark hides nothing
           "N(\x85"s,  // what is below the mark is out of reach
           "(Nu"s,    "}Ns"s, "}(Nu"s, "NNa"s, "]NNs"s, "h\x07"s, "j\x07\0\0\0"s,  // memo
           "NN\x93"s, "(Nd"s,
       }) {
    EXPECT_FALSE(Read("\x80\x02" + bad + ".").ok()) << ::testing::PrintToString(bad);
  }
}

TEST(PickleReaderTest, OtherOpcodesAndProtocolsAreNamed) {
  EXPECT_THAT(ErrorOf("\x80\x02I1\n."), HasSubstr("unknown opcode 0x49 at byte 2"));
  EXPECT_THAT(ErrorOf("\x80\x02\x82\x01."), HasSubstr("unknown opcode 0x82"));
  EXPECT_THAT(ErrorOf("\x80\x06N."), HasSubstr("protocol 6"));
}

TEST(PickleReaderTest, VeryLongNamesAreRefused) {
  EXPECT_FALSE(Read(Program(Global(std::string(300, 'm'), "f"))).ok());
  EXPECT_FALSE(Read(Program(Str(std::string(300, 'm')) + Str("f") + "\x93")).ok());
}

}  // namespace
}  // namespace checkpoint
