#include "serving/file_access.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>

#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace serving {
namespace {

using duet_testing::StatusIs;

TEST(FileAccessTest, OnlyRegularFilesBelowTheRootPass) {
  const duet_testing::TempDir dir;
  const std::string inside = dir.Write("root/sub/a.png", "a");
  const std::string outside = dir.Write("root-2/b.png", "b");
  const std::string root = dir.path() + "/root";
  std::filesystem::create_symlink(outside, root + "/leads_out");
  std::filesystem::create_symlink(inside, root + "/stays_in");
  ASSERT_EQ(mkfifo((root + "/pipe").c_str(), 0600), 0);
  const std::string real = std::filesystem::canonical(inside).string();

  EXPECT_EQ(ResolveBelow(root, "sub/a.png").value(), real);
  EXPECT_EQ(ResolveBelow(root + "/", inside).value(), real);
  EXPECT_EQ(ResolveBelow(root, "stays_in").value(), real);
  for (const char* path : {"../root-2/b.png", "leads_out", "sub", ".", "", "pipe", "nothing.png",
                           "sub/../../root-2/b.png", "/etc/passwd"}) {
    EXPECT_THAT(ResolveBelow(root, path), StatusIs(absl::StatusCode::kInvalidArgument)) << path;
  }
  EXPECT_THAT(ResolveBelow(root, outside), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ResolveBelow(dir.path() + "/gone", "a"),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace serving
