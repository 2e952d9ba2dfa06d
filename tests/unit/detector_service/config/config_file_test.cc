#include "detector_service/config/config_file.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace detector {
namespace {

using duet_testing::StatusIs;
using testing::HasSubstr;

TEST(ConfigFileTest, IsMergedOverItsBases) {
  const duet_testing::TempDir dir;
  dir.Write("_base_/runtime.py", "load_from = None\nlevel = 'INFO'\n");
  dir.Write("l.py",
            "_base_ = ['./_base_/runtime.py']\n"
            "model = dict(test_cfg=dict(nms_pre=30000, score_thr=0.001),\n"
            "             head=dict(type='A', width=256))\n");
  const std::string m = dir.Write("m.py",
                                  "_base_ = 'l.py'\n"
                                  "model = dict(test_cfg=dict(score_thr=0.3),\n"
                                  "             head=dict(_delete_=True, type='B'))\n");

  ASSERT_OK_AND_ASSIGN(const PythonConfig config, ReadConfigFile(m));

  double number = 0;
  EXPECT_TRUE(config.values.Find({"model", "test_cfg", "nms_pre"})->number(&number));
  EXPECT_EQ(number, 30000);
  EXPECT_TRUE(config.values.Find({"model", "test_cfg", "score_thr"})->number(&number));
  EXPECT_EQ(number, 0.3);
  EXPECT_EQ(*config.values.Find({"model", "head", "type"})->string(), "B");
  EXPECT_EQ(config.values.Find({"model", "head", "width"}), nullptr);
  EXPECT_EQ(*config.values.Find("level")->string(), "INFO");
}

TEST(ConfigFileTest, WhatCannotBeReadIsNamed) {
  const duet_testing::TempDir dir;
  EXPECT_THAT(ReadConfigFile(dir.path() + "/none.py"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("none.py")));
  EXPECT_THAT(ReadConfigFile(dir.Write("a.py", "_base_ = 'gone.py'")),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("gone.py")));
  EXPECT_THAT(ReadConfigFile(dir.Write("circle.py", "_base_ = 'circle.py'")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("circle")));
  EXPECT_THAT(ReadConfigFile(dir.Write("b.py", "_base_ = find()")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("line 1")));

  const std::string hidden =
      dir.Write("upper.py", "_base_ = '" + dir.Write("lower.py", "model = build()") + "'");
  ASSERT_OK_AND_ASSIGN(const PythonConfig config, ReadConfigFile(hidden));
  EXPECT_NE(config.values.Find("model")->opaque(), nullptr);
}

TEST(ConfigFileTest, ABaseIsANameInTheTextAboveIt) {
  const duet_testing::TempDir dir;
  dir.Write("runtime.py", "backend_args = None\nsize = (320, 320)\n");
  dir.Write("s.py",
            "_base_ = 'runtime.py'\nsteps = [dict(scale=_base_.size), dict(k=1)]\n"
            "loader = dict(steps=steps)\n");
  const std::string top = dir.Write("top.py",
                                    "_base_ = ['s.py']\n"
                                    "twice = {{_base_.size}} * 2\n"
                                    "_base_.steps[-1] = dict(k=2)\n"
                                    "loader = dict(first=_base_.steps)\n");

  ASSERT_OK_AND_ASSIGN(const PythonConfig config, ReadConfigFile(top));

  EXPECT_EQ(config.values.Find("twice")->list()->size(), 4U);
  const PythonValue* first = config.values.Find({"loader", "first"});
  EXPECT_EQ(*first->list()->at(1).Find("k")->integer(), 2);
  EXPECT_EQ(first->list()->at(0).Find("scale")->list()->size(), 2U);
  // mmengine's values of a base don't share parts: what was put into `steps` is not in `loader`.
  EXPECT_EQ(*config.values.Find({"loader", "steps"})->list()->at(1).Find("k")->integer(), 1);
}

TEST(ConfigFileTest, ReadBaseBringsTheNamesOfItsModules) {
  const duet_testing::TempDir dir;
  dir.Write("_base_/runtime.py", "level = 7\nsize = (1, 2)\n");
  dir.Write("s.py", "model = dict(a=1, b=2)\n");
  const std::string top = dir.Write("sub/top.py",
                                    "from mmengine.config import read_base\n"
                                    "from mmdet.models import RTMDet\n"
                                    "with read_base():\n"
                                    "    from .._base_.runtime import size as base_size\n"
                                    "    from ..s import *\n"
                                    "model.update(dict(b=3, type=RTMDet))\n");
  const std::string foreign =
      dir.Write("foreign.py", "with read_base():\n    from mmdet.configs.x import *\na = 1\n");

  ASSERT_OK_AND_ASSIGN(const PythonConfig config, ReadConfigFile(top));
  ASSERT_OK_AND_ASSIGN(const PythonConfig partial, ReadConfigFile(foreign));

  EXPECT_EQ(*config.values.Find({"model", "a"})->integer(), 1);
  EXPECT_EQ(*config.values.Find({"model", "b"})->integer(), 3);
  EXPECT_EQ(config.values.Find("base_size")->list()->size(), 2U);
  EXPECT_EQ(config.values.Find("level"), nullptr);
  EXPECT_EQ(*partial.values.Find("a")->integer(), 1);
  EXPECT_NE(partial.values.Find("model")->opaque(), nullptr);
}

TEST(ConfigFileTest, ABaseThatIsNotThereIsNamed) {
  const duet_testing::TempDir dir;
  EXPECT_THAT(ReadConfigFile(dir.Write("p.py", "_base_ = 'mmdet::rtmdet/rtmdet_s.py'")),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("mmdet::rtmdet/rtmdet_s.py")));
  dir.Write("one.py", "a = 1");
  dir.Write("two.py", "a = 2");
  EXPECT_THAT(ReadConfigFile(dir.Write("q.py", "_base_ = ['one.py', 'two.py']")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'a' stands in two files")));
}

TEST(ConfigFileTest, BelowARootNothingElseIsRead) {
  const duet_testing::TempDir dir;
  const std::string root = dir.path() + "/root";
  dir.Write("outside.py", "secret = 1");
  dir.Write("root/base.py", "level = 1");
  const std::string inside = dir.Write("root/sub/inside.py", "_base_ = '../base.py'");
  const std::string above = dir.Write("root/above.py", "_base_ = '../outside.py'");
  const std::string absolute =
      dir.Write("root/absolute.py", "_base_ = '" + dir.path() + "/outside.py'");
  std::filesystem::create_symlink(dir.path() + "/outside.py", root + "/link.py");

  ASSERT_OK_AND_ASSIGN(const PythonConfig config, ReadConfigFile(inside, root));
  EXPECT_NE(config.values.Find("level"), nullptr);
  for (const std::string& path : {above, absolute, root + "/link.py", dir.path() + "/outside.py"}) {
    EXPECT_THAT(ReadConfigFile(path, root),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not a file below")))
        << path;
  }
}

}  // namespace
}  // namespace detector
