#include "dataset/image_files.h"

#include <gmock/gmock.h>
#include <sys/resource.h>
#include <unistd.h>

#include <string>

#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace dataset {
namespace {

using duet_testing::StatusIs;

TEST(ImageFilesTest, TheNameIsThatOfTheFileBehindTheAddress) {
  EXPECT_EQ(FileNameOf("/data/local-files/?d=in/a%20b.jpg"), "a b.jpg");
  EXPECT_EQ(FileNameOf("http://host/data/local-files/?x=1&d=in/a+b.jpg&token=t"), "a b.jpg");
  EXPECT_EQ(FileNameOf("/data/upload/1/9d55-a%20b.jpg"), "9d55-a b.jpg");
  EXPECT_EQ(FileNameOf("https://host/in/a.jpg?sig=a/b#c/d"), "a.jpg");
  EXPECT_EQ(FileNameOf("in/100%25.jpg"), "100%25.jpg") << "a path is no address";
}

TEST(ImageFilesTest, AFileIsFoundWhereverItsFolderWasMovedTo) {
  const duet_testing::TempDir folder;
  folder.Write("in/a b.jpg", "bytes");

  for (const char* image : {"/data/local-files/?d=old/in/a%20b.jpg&x=1", "/srv/old/in/a b.jpg",
                            "http://host/data/local-files/?d=in/a+b.jpg"}) {
    ASSERT_OK_AND_ASSIGN(const std::string bytes, ReadImageFile(folder.path(), image));
    EXPECT_EQ(bytes, "bytes") << image;
  }
}

// A machine that can't open any file says nothing about this one.
TEST(ImageFilesTest, WithoutDescriptorsAFileIsNotCalledMissing) {
  const duet_testing::TempDir folder;
  folder.Write("a.jpg", "bytes");
  rlimit limit = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  for (const rlim_t descriptors : {0, 1}) {
    // The lowest free numbers: that of the folder, and that of the file.
    const int free = dup(STDIN_FILENO);
    close(free);
    const rlimit few{static_cast<rlim_t>(free) + descriptors, limit.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
    const absl::StatusOr<std::string> bytes = ReadImageFile(folder.path(), "old/a.jpg");
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    EXPECT_THAT(bytes, StatusIs(absl::StatusCode::kUnavailable)) << descriptors;
  }
  EXPECT_THAT(ReadImageFile(folder.path(), "b.jpg"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(ReadImageFile(folder.path() + "/nowhere", "a.jpg"),
              StatusIs(absl::StatusCode::kUnavailable, testing::HasSubstr("nowhere")));
}

}  // namespace
}  // namespace dataset
