#include "dataset/json_elements.h"

#include <gmock/gmock.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <string>
#include <vector>

#include "tests/testing/status_matchers.h"

namespace dataset {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::ElementsAre;
using testing::HasSubstr;

namespace json = boost::json;

// "field: value", with a star if it is an element of a list.
std::vector<std::string> Parts(std::string_view text) {
  std::vector<std::string> parts;
  EXPECT_THAT(ReadJsonElements(text,
                               [&](const JsonElement& element) {
                                 parts.push_back(std::string(element.field) +
                                                 (element.of_list ? "*: " : ": ") +
                                                 std::string(json::serialize(element.value)));
                                 return absl::OkStatus();
                               }),
              IsOk());
  return parts;
}

TEST(JsonElementsTest, AnObjectsListsAreTakenApartAndItsOtherFieldsAreNot) {
  EXPECT_THAT(Parts(R"({"info":{"a":[1,2]},"images":[{"id":1},[[2]],3],"none":[],"last":"text"})"),
              ElementsAre("info: {\"a\":[1,2]}", "images*: {\"id\":1}", "images*: [[2]]",
                          "images*: 3", "last: \"text\""));
}

TEST(JsonElementsTest, AListIsTakenApartOnce) {
  EXPECT_THAT(Parts(R"([{"id":1,"b":[1,[2]]},[5,6],null])"),
              ElementsAre("*: {\"id\":1,\"b\":[1,[2]]}", "*: [5,6]", "*: null"));
  EXPECT_THAT(Parts("[]"), ElementsAre());
}

TEST(JsonElementsTest, ErrorsSayWhere) {
  const auto ignore = [](const JsonElement&) { return absl::OkStatus(); };
  const auto code = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(ReadJsonElements(R"({"a":[1,)", ignore), StatusIs(code, HasSubstr("near byte 8")));
  EXPECT_THAT(ReadJsonElements("[1] 2", ignore), StatusIs(code, HasSubstr("near byte 4")));
  EXPECT_THAT(ReadJsonElements("17", ignore), StatusIs(code, HasSubstr("object or list")));
  EXPECT_THAT(ReadJsonElements(std::string(100, '['), ignore), StatusIs(code, HasSubstr("JSON")));
  EXPECT_THAT(ReadJsonElements("", ignore), StatusIs(code, HasSubstr("JSON")));
}

TEST(JsonElementsTest, WhatPythonWritesBeyondJsonIsRead) {
  EXPECT_THAT(Parts(R"({"a":[NaN,-Infinity,{"b":Infinity,"c":-1}],"d":NaN})"),
              ElementsAre("a*: null", "a*: null", "a*: {\"b\":null,\"c\":-1}", "d: null"));
  EXPECT_THAT(Parts(R"(["NaN, \"Infinity","\\",NaN,"Infinity"])"),
              ElementsAre(R"(*: "NaN, \"Infinity")", R"(*: "\\")", "*: null", R"(*: "Infinity")"));
  EXPECT_THAT(Parts(R"([{"file_name":"a\ud83d.jpg"},NaN])"),
              ElementsAre("*: {\"file_name\":\"a\uFFFD.jpg\"}", "*: null"));
}

TEST(JsonElementsTest, WhatIsLikeItIsAnErrorAtItsPlace) {
  const auto ignore = [](const JsonElement&) { return absl::OkStatus(); };
  for (const char* text : {"[NaN,nan]", "[NaN,NaNs]", "[NaN,Inf]", "[NaN,+Infinity]",
                           "[NaN,--Infinity]", "[NaN,NaN NaN]", "[NaN,Nan", "[NaN,1NaN]"}) {
    EXPECT_THAT(ReadJsonElements(text, ignore),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("near byte ")))
        << text;
  }
}

// Label Studio's exports COCO and YOLO are zip archives.
TEST(JsonElementsTest, AnArchiveIsNamedAsOne) {
  const auto ignore = [](const JsonElement&) { return absl::OkStatus(); };
  const auto code = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(ReadJsonElements("PK\x03\x04 and so on", ignore),
              StatusIs(code, HasSubstr("is a zip archive, not JSON: unpack it")));
  EXPECT_THAT(ReadJsonElements("\x1f\x8b\x08", ignore),
              StatusIs(code, HasSubstr("is a gzip archive, not JSON: unpack it")));
}

TEST(JsonElementsTest, TheCallbacksErrorEndsTheReading) {
  int calls = 0;
  const absl::Status status = ReadJsonElements("[1,2,3]", [&](const JsonElement&) {
    return ++calls == 2 ? absl::NotFoundError("enough") : absl::OkStatus();
  });
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kNotFound, "enough"));
  EXPECT_EQ(calls, 2);
}

TEST(JsonElementsTest, ManyLargeElementsTakeTheMemoryOfOne) {
  // Each takes 1.6 MB as a document; the limit is 1 GiB.
  std::string large = "[0";
  for (int i = 0; i < 100'000; ++i) large += ",0";
  large += "]";
  std::string text = "[" + large;
  for (int i = 0; i < 20; ++i) text += "," + large;
  text += "]";
  int elements = 0;

  EXPECT_THAT(ReadJsonElements(text,
                               [&](const JsonElement& element) {
                                 elements += element.value.as_array().size() == 100'001;
                                 return absl::OkStatus();
                               }),
              IsOk());

  EXPECT_EQ(elements, 21);
}

TEST(JsonElementsTest, FieldsOfAnyTypeAreRead) {
  const json::object object =
      json::parse(R"({"n":1.5,"i":17,"d":17.0,"t":"17","yes":true,"one":1,"no":0})").as_object();
  EXPECT_EQ(NumberField(object, "n"), 1.5);
  EXPECT_EQ(NumberField(object, "t"), std::nullopt);
  EXPECT_EQ(IdField(object, "i"), "17");
  EXPECT_EQ(IdField(object, "d"), "17");
  EXPECT_EQ(IdField(object, "t"), "17");
  EXPECT_EQ(IdField(object, "n"), "");
  EXPECT_TRUE(TrueField(object, "yes"));
  EXPECT_TRUE(TrueField(object, "one"));
  EXPECT_FALSE(TrueField(object, "no"));
  EXPECT_FALSE(TrueField(object, "missing"));
}

}  // namespace
}  // namespace dataset
