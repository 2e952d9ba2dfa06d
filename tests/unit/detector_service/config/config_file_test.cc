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
  EXPECT_EQ(config.unreadable.count("model"), 1U);
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
