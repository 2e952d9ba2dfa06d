#include "detector_service/config/python_config.h"

#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>

#include <chrono>
#include <limits>
#include <string>

namespace detector {
namespace {

using testing::HasSubstr;
using testing::NotNull;

PythonValue Value(const std::string& text, std::string_view name = "x") {
  const PythonConfig config = ParsePythonConfig(text);
  const PythonValue* found = config.values.Find(name);
  EXPECT_THAT(found, NotNull()) << text;
  return found != nullptr ? *found : PythonValue();
}

double Number(const std::string& text, std::string_view name = "x") {
  double number = -1234567;
  EXPECT_TRUE(Value(text, name).number(&number)) << text;
  return number;
}

double NumberAt(const PythonConfig& config, std::initializer_list<std::string_view> path) {
  double number = -1;
  const PythonValue* value = config.values.Find(path);
  EXPECT_TRUE(value != nullptr && value->number(&number));
  return number;
}

bool IsOpaque(const std::string& text, std::string_view name = "x") {
  return Value(text, name).opaque() != nullptr;
}

TEST(PythonConfigTest, ReadsWhatMmengineDumps) {
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

  EXPECT_EQ(NumberAt(config, {"model", "test_cfg", "nms", "iou_threshold"}), 0.65);
  EXPECT_EQ(NumberAt(config, {"model", "test_cfg", "score_thr"}), 0.001);
  EXPECT_EQ(*config.values.Find({"model", "type"})->string(), "RTMDet");
  EXPECT_FALSE(*config.values.Find({"model", "data_preprocessor", "bgr_to_rgb"})->boolean());
  EXPECT_EQ(config.values.Find({"model", "data_preprocessor", "mean"})->list()->size(), 2U);
  EXPECT_EQ(*config.values.Find("scale")->list()->at(1).integer(), -2);
  EXPECT_TRUE(config.values.Find("load_from")->is_none());
}

// mmengine writes so whenever a key is no identifier, and inf without quotes.
TEST(PythonConfigTest, ReadsKeysThatAreNoIdentifiers) {
  const PythonConfig config = ParsePythonConfig(R"(
backend_args = dict({'backend': 'petrel', 'path_mapping': dict({'./data/': 's3://x/', 1: 2})})
clip = dict({'a.b': 1}, c=inf)
least = -inf
)");

  EXPECT_EQ(*config.values.Find({"backend_args", "path_mapping", "./data/"})->string(), "s3://x/");
  EXPECT_EQ(NumberAt(config, {"clip", "a.b"}), 1);
  EXPECT_EQ(NumberAt(config, {"clip", "c"}), std::numeric_limits<double>::infinity());
  EXPECT_EQ(NumberAt(config, {"least"}), -std::numeric_limits<double>::infinity());
}

TEST(PythonConfigTest, ReadsStringsOfEveryKind) {
  const PythonConfig config = ParsePythonConfig(
      "a = 'it''s'\nb = \"x\\n\\u0105\"\nc = r'\\d\\''\nd = '''two\nlines'''\ne = {'k': 'v'}\n"
      "f = ('one '\n     \"two\")\ng = '\u4e2d\u6587'\nh = '\\x41\\101'\ni = 'joi\\\nned'\n");

  EXPECT_EQ(*config.values.Find("a")->string(), "its");
  EXPECT_EQ(*config.values.Find("b")->string(), "x\n\u0105");
  EXPECT_EQ(*config.values.Find("c")->string(), "\\d\\'");
  EXPECT_EQ(*config.values.Find("d")->string(), "two\nlines");
  EXPECT_EQ(*config.values.Find({"e", "k"})->string(), "v");
  EXPECT_EQ(*config.values.Find("f")->string(), "one two");
  EXPECT_EQ(*config.values.Find("g")->string(), "\u4e2d\u6587");
  EXPECT_EQ(*config.values.Find("h")->string(), "AA");
  EXPECT_EQ(*config.values.Find("i")->string(), "joined");
}

// The values are Python's.
TEST(PythonConfigTest, EvaluatesArithmetic) {
  EXPECT_EQ(Number("x = 0.01 * 8"), 0.01 * 8);
  EXPECT_EQ(Number("m = 300\nx = m - 20"), 280);
  EXPECT_EQ(Number("x = 2**8"), 256);
  EXPECT_EQ(Number("x = -2**2"), -4);
  EXPECT_EQ(Number("x = 2**-1"), 0.5);
  EXPECT_EQ(Number("x = 2**3**2"), 512);
  EXPECT_EQ(Number("x = 7 / 2"), 3.5);
  EXPECT_EQ(Number("x = -7 // 2"), -4);
  EXPECT_EQ(Number("x = -7 % 3"), 2);
  EXPECT_EQ(Number("x = 7.5 // 2"), 3);
  EXPECT_EQ(Number("x = 1 + 2 * 3 - (4 - 5)"), 8);
  EXPECT_EQ(Number("x = 0x10 + 0b11 + 0o7 + 1_000"), 1026);
  EXPECT_EQ(Number("x = .5 + 1. + 1e-1"), 1.6);
  EXPECT_EQ(Number("x = int(30 / 2.5)"), 12);
  EXPECT_EQ(Number("x = len((1, 2, 3)) + len(dict(a=1, b=2))"), 5);
  EXPECT_EQ(Number("x = max(3, 5) + min([4, 2]) + sum([1, 2]) + abs(-1)"), 11);
  EXPECT_EQ(Number("x = round(2.5) + round(3.5)"), 6);
  EXPECT_EQ(Number("x = float('inf')"), std::numeric_limits<double>::infinity());
  EXPECT_EQ(Number("x = 1 if 2 > 1 else 0"), 1);
  EXPECT_EQ(Number("x = None or 3"), 3);
  EXPECT_EQ(Value("x = [1, 2] + [3] * 2").list()->size(), 4U);
  EXPECT_EQ(*Value("x = 'a' + 'b' * 2").string(), "abb");
  EXPECT_TRUE(*Value("x = not 0").boolean());
}

TEST(PythonConfigTest, NamesStandForEarlierValues) {
  const PythonConfig config = ParsePythonConfig(
      "size = (32, 64)\n"
      "a = b = 7\n"
      "width, height = size\n"
      "z: int = 3\n"
      "step = dict(scale=size, last=size[-1], rest=size[1:], **dict(k=1))\n"
      "steps = [dict(type='A'), *[1, 2], step]\n"
      "kind = step['scale'] if True else None\n"
      "nested = steps[0]\n"
      "again = nested.type\n");

  EXPECT_EQ(NumberAt(config, {"b"}), 7);
  EXPECT_EQ(NumberAt(config, {"height"}), 64);
  EXPECT_EQ(NumberAt(config, {"z"}), 3);
  EXPECT_EQ(config.values.Find({"step", "scale"})->list()->size(), 2U);
  EXPECT_EQ(NumberAt(config, {"step", "last"}), 64);
  EXPECT_EQ(config.values.Find({"step", "rest"})->list()->size(), 1U);
  EXPECT_EQ(NumberAt(config, {"step", "k"}), 1);
  EXPECT_EQ(config.values.Find("steps")->list()->size(), 4U);
  EXPECT_EQ(*config.values.Find("again")->string(), "A");
}

// Lists and dicts are shared, as in Python: whoever holds one sees its change.
TEST(PythonConfigTest, ChangesInPlaceReachAllThatShareTheValue) {
  const PythonConfig config = ParsePythonConfig(R"(
import copy
steps = [1, 2]
one = dict(steps=steps)
apart = steps.copy()
deep = copy.deepcopy(one)
steps.append(3)
steps += [4]
steps[0] = 9
model = dict(test_cfg=dict(score_thr=0.1))
model.update(dict(type='A'), width=2)
model['test_cfg']['score_thr'] = 0.2
model.test_cfg.nms = dict(iou_threshold=0.5)
popped = model.pop('type')
)");

  EXPECT_EQ(config.values.Find({"one", "steps"})->list()->size(), 4U);
  EXPECT_EQ(*config.values.Find({"one", "steps"})->list()->at(0).integer(), 9);
  EXPECT_EQ(config.values.Find("apart")->list()->size(), 2U);
  EXPECT_EQ(config.values.Find({"deep", "steps"})->list()->size(), 2U);
  EXPECT_EQ(NumberAt(config, {"model", "test_cfg", "score_thr"}), 0.2);
  EXPECT_EQ(NumberAt(config, {"model", "test_cfg", "nms", "iou_threshold"}), 0.5);
  EXPECT_EQ(NumberAt(config, {"model", "width"}), 2);
  EXPECT_EQ(config.values.Find({"model", "type"}), nullptr);
  EXPECT_EQ(*config.values.Find("popped")->string(), "A");
}

// mmengine's dicts merge what is updated in them, Python's replace it.
TEST(PythonConfigTest, ADictThatIsUpdatedInADictIsCertainOnlyWithReadBase) {
  const std::string update = "x = dict(a=dict(b=1, c=2), d=3)\nx.update(dict(a=dict(b=7), d=4))\n";
  const PythonConfig lazy = ParsePythonConfig("with read_base():\n    pass\n" + update);
  const PythonConfig plain = ParsePythonConfig(update);

  EXPECT_EQ(NumberAt(lazy, {"x", "a", "b"}), 7);
  EXPECT_EQ(NumberAt(lazy, {"x", "a", "c"}), 2);
  EXPECT_THAT(plain.values.Find({"x", "a"})->opaque(), NotNull());
  EXPECT_EQ(NumberAt(plain, {"x", "d"}), 4);
}

TEST(PythonConfigTest, WhatIsNotUnderstoodIsOpaqueWhereItStands) {
  const PythonConfig config = ParsePythonConfig(R"(
import os
from math import pi as PI
evil = __import__('os').system('touch /tmp/x')
model = dict(
    type='RTMDet', a=build(1, k=2), b=lambda x, y=(1, 2): x + y, c={1, 2},
    d=[i for i in range(3)], e={k: v for k, v in {}.items()}, f=f'{1}', g=b'x', h='{{ fileDirname }}',
    i=os.environ.get('X', 'y'), j=PI * 2, k=x @ y, l=<class 'a.B'>, m=dict(n=1, **rest()), o=7)
fine = 7
)");

  EXPECT_EQ(NumberAt(config, {"fine"}), 7);
  EXPECT_EQ(*config.values.Find({"model", "type"})->string(), "RTMDet");
  EXPECT_EQ(NumberAt(config, {"model", "o"}), 7);
  EXPECT_THAT(*config.values.Find("evil")->opaque(), HasSubstr("line 4"));
  for (const char* key : {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"}) {
    EXPECT_THAT(config.values.Find({"model", key})->opaque(), NotNull()) << key;
  }
  EXPECT_THAT(*config.values.Find({"model", "a"})->opaque(), HasSubstr("build(1, k=2)"));
  EXPECT_EQ(NumberAt(config, {"model", "m", "n"}), 1);
  // Any key may be in what rest() gives.
  EXPECT_THAT(config.values.Find({"model", "m", "other"})->opaque(), NotNull());
  EXPECT_EQ(config.values.Find({"model", "other"}), nullptr);
}

TEST(PythonConfigTest, ImportedNamesKeepTheirDottedName) {
  const PythonConfig config = ParsePythonConfig(
      "from mmdet.models import RTMDet\nimport mmdet.datasets as d\n"
      "model = dict(type=RTMDet)\nstep = dict(type=d.Resize)\n");

  EXPECT_EQ(*config.values.Find({"model", "type"})->symbol(), "mmdet.models.RTMDet");
  EXPECT_EQ(*config.values.Find({"step", "type"})->symbol(), "mmdet.datasets.Resize");
}

// Whether a block runs, and what an unknown function does, only Python would know.
TEST(PythonConfigTest, WhatABlockOrACallMayChangeIsOpaque) {
  EXPECT_TRUE(IsOpaque("x = 1\nif y:\n    x = 2\n"));
  EXPECT_TRUE(IsOpaque("x = 1\nif y: x = 2\n"));
  EXPECT_TRUE(IsOpaque("x = [1]\nfor i in y:\n    x.append(i)\n"));
  EXPECT_TRUE(IsOpaque("x = [1]\nz = dict(k=x)\nfor i in y:\n    z.k.append(i)\n", "z"));
  // What shares the list, too.
  EXPECT_TRUE(IsOpaque("y = [1]\nz = dict(k=y)\nfor i in j:\n    y.append(i)\nx = z.k\n"));
  // By another name, too.
  EXPECT_TRUE(IsOpaque("x = [dict(a=1)]\nfor step in x:\n    step['a'] = 2\n"));
  EXPECT_TRUE(IsOpaque("x = dict(a=1)\nif y:\n    z = x\n    z['a'] = 2\n"));
  EXPECT_TRUE(IsOpaque("x = [dict(a=1)]\n[step.update(a=2) for step in x]\n"));
  EXPECT_TRUE(IsOpaque("x = [dict(a=1), 2, 3]\nfirst, *others = x\nfirst['a'] = 2\n"));
  EXPECT_TRUE(IsOpaque("x = dict(a=1)\nz = x\nz.a, y = 2, 3\n"));
  EXPECT_TRUE(IsOpaque("def fix(y):\n    y['a'] = 2\nx = dict(a=1)\nz = fix(x)\n"));
  EXPECT_TRUE(IsOpaque("def fix(y):\n    y['a'] = 2\nx = dict(a=1)\nz = fix(y=x)\n"));
  EXPECT_EQ(Number("from a import b\ny = [1]\nz = b(y)\nx = y[0]\n"), 1);
  EXPECT_TRUE(IsOpaque("x = dict(a=1)\nfix(x)\n"));
  EXPECT_TRUE(IsOpaque("x = dict(a=1)\nx.merge(y)\n"));
  EXPECT_TRUE(IsOpaque("def x():\n    return 1\n"));
  EXPECT_EQ(Number("x = 1\ndef f():\n    x = 2\n"), 1);
  EXPECT_EQ(Number("x = 1\nprint(x)\n'''a text'''\nassert x\n"), 1);
  EXPECT_TRUE(IsOpaque("x = 1\nfrom y import *\n"));
  EXPECT_EQ(Number("from y import *\nx = 1\n"), 1);
  EXPECT_EQ(Number("from y import *\nx, z = 1, 2\n"), 1);
  EXPECT_TRUE(IsOpaque("from y import *\n"));
}

// Python would refuse the whole file.
TEST(PythonConfigTest, ATextThatIsNoPythonIsOpaqueAsAWhole) {
  for (const char* text : {"x = 1\ny = dict(", "x = 1\ny = 'a", "x = 1\ny = )", "x = 1\ny = [1}"}) {
    EXPECT_TRUE(IsOpaque(text)) << text;
  }
  EXPECT_THAT(*Value("x = 1\ny = dict(a=[1,\n").opaque(), HasSubstr("line 2: '['"));
}

TEST(PythonConfigTest, ABaseIsMergedUnderAndIsAName) {
  PythonScope scope;
  scope.base =
      ParsePythonConfig("model = dict(a=1, b=dict(c=2))\nsize = (3, 4)\nn = [dict(k=1)]\n").values;
  const PythonConfig config = ParsePythonConfig(
      "_base_ = 'base.py'\n"
      "x = _base_.size[1]\n"
      "y = {{_base_.model.b.c}}\n"
      "_base_.n[0].k = 5\n"
      "model = dict(b=dict(_delete_=True, d={{ _base_.model.a }}))\n",
      scope);
  const PythonValue merged = Merge(config.values, scope.base);

  EXPECT_EQ(NumberAt(config, {"x"}), 4);
  EXPECT_EQ(NumberAt(config, {"y"}), 2);
  double number = 0;
  EXPECT_TRUE(merged.Find("n")->list()->at(0).Find("k")->number(&number));
  EXPECT_EQ(number, 5);
  EXPECT_EQ(merged.Find({"model", "b", "c"}), nullptr);
  EXPECT_TRUE(merged.Find({"model", "b", "d"})->number(&number));
  EXPECT_TRUE(merged.Find({"model", "a"})->number(&number));
}

TEST(PythonConfigTest, WithoutItsBaseATextMayHoldAnything) {
  const PythonConfig config = ParsePythonConfig("_base_ = 'b.py'\nmodel = dict(a=1)\n");

  EXPECT_EQ(NumberAt(config, {"model", "a"}), 1);
  EXPECT_THAT(config.values.Find({"model", "test_cfg"})->opaque(), NotNull());
  EXPECT_THAT(config.values.Find("test_pipeline")->opaque(), NotNull());
}

TEST(PythonConfigTest, CutOffAnywhereItNeitherCrashesNorHangs) {
  const std::string text =
      "a = dict(b=[1, (2.5, 'x\\n')], c={'d': None}, **e)\ne = '''f'''\ng = -1e-3\n"
      "h = lambda x: x if y else z\nif a:\n  b = 1\ni = a['b'][0:1]\n_base_.x[0].y = {{_base_.z}}\n"
      "from a.b import (c as d, e)\nx += f(*a, **b) @ {1, 2} | {i: j for i in k}\n";
  for (std::size_t from = 0; from < text.size(); from += 7) {
    for (std::size_t length = 0; length <= text.size() - from; ++length) {
      ParsePythonConfig(std::string_view(text).substr(from, length));
    }
  }
}

// Each of these would take Python itself, or a naive reader, all memory or for ever.
TEST(PythonConfigTest, AHostileTextCostsLittle) {
  const auto repeated = [](const std::string& part, int times) {
    std::string all;
    for (int i = 0; i < times; ++i) all += part;
    return all;
  };
  std::string doubling = "x = [1]\n";
  std::string chain = "x = []\n";
  std::string late = "x = {}\n";
  for (int i = 0; i < 20'000; ++i) {
    doubling += "x = [x, x]\n";
    chain += "x = [x]\n";
    late += "y = {}\ny['k'] = x\nx = y\n";
  }
  std::string keys = "x = dict(";
  for (int i = 0; i < 30'000; ++i) keys += absl::StrCat("k", i, "=1,");
  keys += ")\n";
  std::string names;
  for (int i = 0; i < 30'000; ++i) names += absl::StrCat("n", i, "=1\n");
  const std::string many = "x = [" + repeated("1,", 200'000) + "]\n";
  for (const std::string& text : {std::string("x = 10**10**10"),
                                  names + repeated("from y import *\n", 25'000),
                                  keys + "y = x.copy()\n" + repeated("y.update(x)\n", 90),
                                  keys + "y = [" + repeated("len(x),", 60'000) + "]\n",
                                  many + "y = [" + repeated("x[:],", 60'000) + "]\n",
                                  many + "y = [" + repeated("x.copy(),", 60'000) + "]\n",
                                  many + "y = [" + repeated("min(x),", 60'000) + "]\n",
                                  std::string("x = [0]*10**9"),
                                  std::string("x = ['a'*10**6]*10**6"),
                                  "x = " + std::string(1'000'000, '['),
                                  "x = " + std::string(1'000'000, '-') + "1",
                                  "x = " + repeated("(1,)+", 200'000) + "(1,)",
                                  "x = " + repeated("not ", 200'000) + "y",
                                  "x = " + repeated("lambda: ", 100'000) + "y",
                                  "x = " + repeated("1 if 1 else ", 50'000) + "y",
                                  "x = 2" + repeated("**2", 200'000),
                                  "x = 'a'\n" + repeated("x = x + x\n", 1000),
                                  "x = []\n" + repeated("x.append(x)\n", 1000),
                                  std::string("x = {}\nx['a'] = x\n"),
                                  doubling,
                                  chain,
                                  late,
                                  "x = a" + repeated(".b", 300'000),
                                  "x = a" + repeated("[0]", 200'000),
                                  "x = a" + repeated("(", 300'000),
                                  "x = dict(" + repeated("a=1,", 200'000) + ")",
                                  repeated("x = ", 200'000) + "1"}) {
    const auto start = std::chrono::steady_clock::now();
    const PythonConfig config = ParsePythonConfig(text);
    Canonical(config.values);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    EXPECT_LT(took.count(), 20) << text.substr(0, 40);  // far below what a hang takes
  }
  EXPECT_EQ(Number("x = 1\n" + std::string(1'000'000, '#')), 1);
  EXPECT_TRUE(IsOpaque("x = 1\n" + std::string(5'000'000, '#')));
  EXPECT_TRUE(IsOpaque("x = 10**10**10"));
  EXPECT_TRUE(IsOpaque("x = [0]*10**9"));
  EXPECT_TRUE(IsOpaque(doubling));
}

}  // namespace
}  // namespace detector
