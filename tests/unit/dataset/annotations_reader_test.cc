#include "dataset/annotations_reader.h"

#include <gmock/gmock.h>

#include "tests/testing/status_matchers.h"

namespace dataset {
namespace {

using duet_testing::StatusIs;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::string_view kCoco =
    R"({"info":{"id":1},"categories":[{"id":1,"name":"cat"}],)"
    R"("images":[{"id":1,"file_name":"a.jpg","width":9,"height":9}],"annotations":[]})";
// The fields in the order of Label Studio's API.
constexpr std::string_view kTask =
    R"({"id":1,"annotations":[{"id":2,"result":[{"id":"r","type":"rectanglelabels",)"
    R"("from_name":"box","to_name":"image","original_width":100,"original_height":100,)"
    R"("value":{"x":1,"y":1,"width":9,"height":9,"rectanglelabels":["dog"]}}]}],)"
    R"("data":{"image":"a.jpg"}})";

TEST(AnnotationsReaderTest, ReadsCoco) {
  Findings findings;
  ASSERT_OK_AND_ASSIGN(const Dataset data, ReadAnnotations(kCoco, {}, &findings));
  EXPECT_THAT(data.classes, ElementsAre("cat"));
}

TEST(AnnotationsReaderTest, ReadsWhatLabelStudioExportsAndWhatItsApiSaysOfATask) {
  const std::string task(kTask);
  for (const std::string& json : {"[" + task + "]", "{\"tasks\":[" + task + "]}", task}) {
    Findings findings;
    ASSERT_OK_AND_ASSIGN(const Dataset data, ReadAnnotations(json, {}, &findings));
    EXPECT_THAT(data.classes, ElementsAre("dog")) << json;
  }
}

TEST(AnnotationsReaderTest, TheReadersSayWhatIsWrong) {
  Findings findings;
  EXPECT_THAT(ReadAnnotations(R"({"images":[]})", {}, &findings),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("COCO")));
  EXPECT_THAT(ReadAnnotations("hello", {}, &findings),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ReadAnnotations(kCoco, {.classes = {"dog"}}, &findings),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("dog")));
}

TEST(AnnotationsReaderTest, RefusesForCocoWhatOnlyLabelStudiosAnnotationsHave) {
  Findings findings;
  EXPECT_THAT(ReadAnnotations(kCoco, {.label_config = "<View/>"}, &findings),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("is COCO"), HasSubstr("--label_config"))));
  EXPECT_THAT(ReadAnnotations(kCoco, {.unlabeled_class = "thing"}, &findings),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--unlabeled_class")));
}

}  // namespace
}  // namespace dataset
