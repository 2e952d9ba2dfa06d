#include "serving/file_access.h"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <filesystem>
#include <thread>

#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace serving {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::HasSubstr;
using Code = absl::StatusCode;

TEST(FileAccessTest, OnlyRegularFilesBelowTheRootPass) {
  const duet_testing::TempDir dir;
  const std::string inside = dir.Write("root/sub/a.png", "a");
  const std::string outside = dir.Write("root-2/b.png", "b");
  const std::string root = dir.path() + "/root";
  std::filesystem::create_symlink(outside, root + "/leads_out");
  std::filesystem::create_symlink(inside, root + "/stays_in");
  std::filesystem::create_symlink("nowhere", root + "/dangling");
  ASSERT_EQ(mkfifo((root + "/pipe").c_str(), 0600), 0);
  const std::string real = std::filesystem::canonical(inside).string();

  EXPECT_EQ(FileBelow::Open(root, "sub/a.png")->path(), real);
  EXPECT_EQ(FileBelow::Open(root + "/", inside)->path(), real);
  EXPECT_EQ(FileBelow::Open(root, "stays_in")->path(), real);
  for (const char* path :
       {"../root-2/b.png", "leads_out", "sub/../../root-2/b.png", "/etc/passwd", "..", "/"}) {
    EXPECT_THAT(FileBelow::Open(root, path).status(), StatusIs(Code::kOutOfRange)) << path;
  }
  EXPECT_THAT(FileBelow::Open(root, outside).status(), StatusIs(Code::kOutOfRange));
  for (const char* path : {"sub", ".", "pipe"}) {
    EXPECT_THAT(FileBelow::Open(root, path).status(), StatusIs(Code::kInvalidArgument)) << path;
  }
  EXPECT_THAT(FileBelow::Open(root, std::string("sub/a.png\0", 10)).status(),
              StatusIs(Code::kInvalidArgument, HasSubstr("zero byte")));
  for (const char* path : {"", "nothing.png", "dangling", "sub/a.png/b"}) {
    EXPECT_THAT(FileBelow::Open(root, path).status(), StatusIs(Code::kNotFound)) << path;
  }
  EXPECT_THAT(FileBelow::Open(dir.path() + "/gone", "a").status(),
              StatusIs(Code::kFailedPrecondition));
}

TEST(FileAccessTest, ClientsAreNotToldWhatIsOutside) {
  const duet_testing::TempDir dir;
  dir.Write("root/a.png", "a");
  dir.Write("secret", "b");
  const std::string root = dir.path() + "/root";

  for (const char* path : {"../secret", "../nothing", "nothing", "."}) {
    EXPECT_THAT(OpenForClient(root, path).status(),
                StatusIs(Code::kInvalidArgument,
                         "'" + std::string(path) +
                             "' is not a file below the directory that this process may read"));
  }
}

TEST(FileAccessTest, AnImageUriGivesTheFilesBytesWithinTheLimit) {
  const duet_testing::TempDir dir;
  const std::string file = dir.Write("root/a b.png", "12345");
  const std::string root = dir.path() + "/root";
  const std::string uri = "file://" + root + "/a%20b.png";

  EXPECT_EQ(ReadImageUri(uri, root, 5).value(), "12345");
  EXPECT_THAT(ReadImageUri(uri, root, 4),
              StatusIs(Code::kInvalidArgument, HasSubstr("it has 5 bytes; the limit is 4")));
  EXPECT_THAT(ReadImageUri(uri, "", 5), StatusIs(Code::kInvalidArgument, HasSubstr("image_root")));
  EXPECT_THAT(ReadImageUri("http://host/a.png", root, 5), StatusIs(Code::kInvalidArgument));
}

TEST(FileAccessTest, AFileStaysTheOneThatWasCheckedWhateverTakesItsName) {
  const duet_testing::TempDir dir;
  const std::string inside = dir.Write("root/a.png", "inside");
  const std::string outside = dir.Write("secret", "secret");
  const std::string root = dir.path() + "/root";
  absl::StatusOr<FileBelow> file = FileBelow::Open(root, "a.png");
  ASSERT_THAT(file.status(), IsOk());

  std::filesystem::remove(inside);
  std::filesystem::create_symlink(outside, inside);

  EXPECT_EQ(file->Read(100).value(), "inside");
  EXPECT_EQ(duet_testing::ReadFile(file->handle()), "inside");
}

// What a swap in the right moment would give is never read; how often it comes at that moment is
// chance.
TEST(FileAccessTest, ALinkSwappedInBetweenLeadsNowhere) {
  const duet_testing::TempDir dir;
  const std::string outside = dir.Write("secret", "secret");
  const std::string root = dir.path() + "/root";
  dir.Write("root/file", "inside");
  std::filesystem::create_symlink(outside, root + "/link");
  const std::string name = root + "/a.png";
  std::atomic<bool> done = false;
  std::thread swapper([&] {
    while (!done) {
      for (const char* source : {"/file", "/link"}) {
        const std::string next = root + "/next";
        if (std::string(source) == "/file") {
          std::filesystem::create_hard_link(root + source, next);
        } else {
          std::filesystem::copy_symlink(root + source, next);
        }
        std::rename(next.c_str(), name.c_str());
      }
    }
  });

  int leaked = 0;
  for (int i = 0; i < 5000; ++i) {
    const absl::StatusOr<std::string> bytes = ReadImageUri("file://" + name, root, 100);
    if (bytes.ok() && *bytes != "inside") ++leaked;
  }
  done = true;
  swapper.join();

  EXPECT_EQ(leaked, 0);
}

}  // namespace
}  // namespace serving
