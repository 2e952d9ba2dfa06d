#include "model_service/reload.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace model_service {
namespace {

using duet::vision::v1::ReloadModelRequest;
using duet_testing::StatusIs;
using testing::HasSubstr;

class ReloadTest : public testing::Test {
 protected:
  ReloadTest() {
    folder_.Write("models/a.pth", "weights");
    folder_.Write("models/a.py", "config");
    folder_.Write("outside.pth", "weights");
  }

  duet_testing::TempDir folder_;
  ReloadOptions options_{.enabled = true, .model_root = folder_.path() + "/models"};
  ReloadModelRequest request_;
};

TEST_F(ReloadTest, ARequestWithoutFilesMeansThoseInUse) {
  ASSERT_OK_AND_ASSIGN(const ReloadFiles files, FindReloadFiles(request_, options_));
  EXPECT_FALSE(files.checkpoint);
  EXPECT_FALSE(files.config_file);
}

TEST_F(ReloadTest, FilesAreFoundBelowTheRootAndKeepIt) {
  request_.set_checkpoint("a.pth");
  request_.set_config_file("a.py");

  ASSERT_OK_AND_ASSIGN(const ReloadFiles files, FindReloadFiles(request_, options_));

  const std::string root = std::filesystem::canonical(options_.model_root);
  EXPECT_EQ(files.checkpoint->path, root + "/a.pth");
  EXPECT_EQ(files.checkpoint->root, options_.model_root);
  EXPECT_EQ(files.config_file->path, root + "/a.py");
  EXPECT_EQ(files.config_file->root, options_.model_root);
}

TEST_F(ReloadTest, WhatLiesOutsideIsRefused) {
  for (const char* path : {"../outside.pth", "none.pth", "/etc/passwd"}) {
    request_.set_checkpoint(path);
    EXPECT_THAT(FindReloadFiles(request_, options_),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not a file below")))
        << path;
  }
}

TEST_F(ReloadTest, WithoutARootNoFileMayBeNamed) {
  options_.model_root.clear();
  request_.set_config_file("a.py");

  EXPECT_THAT(FindReloadFiles(request_, options_),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("--model_root")));
}

TEST_F(ReloadTest, NothingIsLookedAtUnlessItIsEnabled) {
  options_.enabled = false;
  request_.set_checkpoint("../outside.pth");

  EXPECT_THAT(FindReloadFiles(request_, options_),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("--enable_reload")));
}

}  // namespace
}  // namespace model_service
