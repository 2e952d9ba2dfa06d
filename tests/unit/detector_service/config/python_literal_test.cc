#include "detector_service/config/python_literal.h"

#include <gtest/gtest.h>

#include <string>

namespace detector {
namespace {

double NumberAt(const PythonConfig& config, std::initializer_list<std::string_view> path) {
  double number = -1;
  const PythonValue* value = config.values.Find(path);
  EXPECT_TRUE(value != nullptr && value->number(&number));
  return number;
}

TEST(PythonLiteralTest, ReadsWhatMmengineDumps) {
  const PythonConfig config = ParsePythonConfig(R"(
model = dict(
    test_cfg=dict(
        nms=dict(iou_threshold=0.65, type='nms'), nms_pre=30000, score_thr=1e-3),
    data_preprocessor=dict(
        bgr_to_rgb=False,
        mean=[
            103.53,
            116.28,
        ]),
    type='RTMDet')
scale = (
    640,
    -2,
)
load_from = None
)");

  EXPECT_TRUE(config.unreadable.empty());
  EXPECT_EQ(NumberAt(config, {"model", "test_cfg", "nms", "iou_threshold"}), 0.65);
  EXPECT_EQ(NumberAt(config, {"model", "test_cfg", "score_thr"}), 0.001);
  EXPECT_EQ(*config.values.Find({"model", "type"})->string(), "RTMDet");
  EXPECT_FALSE(*config.values.Find({"model", "data_preprocessor", "bgr_to_rgb"})->boolean());
  EXPECT_EQ(config.values.Find({"model", "data_preprocessor", "mean"})->list()->size(), 2U);
  EXPECT_EQ(*config.values.Find("scale")->list()->at(1).integer(), -2);
  EXPECT_TRUE(config.values.Find("load_from")->is_none());
}

TEST(PythonLiteralTest, ReadsStringsOfEveryKind) {
  const PythonConfig config = ParsePythonConfig(
      "a = 'it''s'\nb = \"x\\n\\u0105\"\nc = r'\\d'\nd = '''two\nlines'''\ne = {'k': 'v'}\n");

  EXPECT_EQ(*config.values.Find("a")->string(), "its");
  EXPECT_EQ(*config.values.Find("b")->string(), "x\n\u0105");
  EXPECT_EQ(*config.values.Find("c")->string(), "\\d");
  EXPECT_EQ(*config.values.Find("d")->string(), "two\nlines");
  EXPECT_EQ(*config.values.Find({"e", "k"})->string(), "v");
}

TEST(PythonLiteralTest, NamesStandForEarlierAssignments) {
  const PythonConfig config = ParsePythonConfig("size = (32, 64)\nstep = dict(scale=size)\n");

  EXPECT_EQ(config.values.Find({"step", "scale"})->list()->size(), 2U);
}

TEST(PythonLiteralTest, AnythingElseMakesOnlyItsOwnAssignmentUnreadable) {
  const PythonConfig config = ParsePythonConfig(
      "import os\n"
      "evil = __import__('os').system('touch /tmp/x')\n"
      "sum = 1 + 2\n"
      "fine = 7\n");

  EXPECT_EQ(NumberAt(config, {"fine"}), 7);
  EXPECT_EQ(config.values.Find("evil"), nullptr);
  EXPECT_EQ(config.unreadable.count("evil"), 1U);
  EXPECT_NE(config.unreadable.at("evil").find("line 2"), std::string::npos);
  EXPECT_EQ(config.unreadable.count("sum"), 1U);
}

TEST(PythonLiteralTest, CutOffAnywhereItNeitherCrashesNorHangs) {
  const std::string text =
      "a = dict(b=[1, (2.5, 'x\\n')], c={'d': None})\ne = '''f'''\ng = -1e-3\n";
  for (std::size_t length = 0; length <= text.size(); ++length) {
    const PythonConfig config = ParsePythonConfig(std::string_view(text).substr(0, length));
    EXPECT_LE(config.unreadable.size(), 1U) << length;
  }
}

TEST(PythonLiteralTest, DeepNestingIsUnreadableNotFatal) {
  const PythonConfig config = ParsePythonConfig("a = " + std::string(1'000'000, '['));

  EXPECT_EQ(config.unreadable.count("a"), 1U);
}

}  // namespace
}  // namespace detector
