// What is half written is never seen under the file's name, and what is mapped is the file.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "files/atomic_file.h"
#include "files/mapped_file.h"
#include "files/text_file.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace files {
namespace {

using duet_testing::IsOk;
using duet_testing::ReadFile;
using duet_testing::StatusIs;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class FilesTest : public testing::Test {
 protected:
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
      names.push_back(entry.path().filename());
    }
    return names;
  }

  duet_testing::TempDir folder_;
  const std::string path_ = folder_.path() + "/file";
};

TEST_F(FilesTest, AFileAppearsWhenItIsComplete) {
  folder_.Write("file", "before");
  ASSERT_OK_AND_ASSIGN(AtomicFile file, AtomicFile::Create(path_));
  file.Append("one ");
  file.Append("two");
  EXPECT_EQ(file.size(), 7u);
  EXPECT_EQ(ReadFile(path_), "before");

  EXPECT_THAT(file.Commit(), IsOk());

  EXPECT_EQ(ReadFile(path_), "one two");
  EXPECT_THAT(Names(), ElementsAre("file")) << "nothing else is left";
}

TEST_F(FilesTest, ATextIsReadWholeOrItIsSaidWhyNot) {
  const auto refused = [](absl::StatusCode code, const std::string& path, const char* why) {
    return StatusIs(code, testing::AllOf(testing::StartsWith(path + ": "), HasSubstr(why)));
  };
  folder_.Write("file", std::string(20'000, 'x'));
  ASSERT_OK_AND_ASSIGN(const std::string text, ReadText(path_, 20'000));
  EXPECT_EQ(text.size(), 20'000u);
  EXPECT_THAT(ReadText(path_, 19'999),
              refused(absl::StatusCode::kInvalidArgument, path_, "larger than the 19999 bytes"));
  EXPECT_THAT(ReadText(path_ + "s", 10),
              refused(absl::StatusCode::kNotFound, path_ + "s", "No such file"));
  EXPECT_THAT(ReadText(folder_.path(), 10),
              refused(absl::StatusCode::kInvalidArgument, folder_.path(), "is a directory"));
  folder_.Write("empty", "");
  EXPECT_EQ(*ReadText(folder_.path() + "/empty", 0), "");
}

TEST_F(FilesTest, WhatKilledProcessesLeftCanBeRemoved) {
  for (const char* name : {"file.17.0.tmp", "other.pth.1234.5.tmp", "file", "notes.tmp",
                           "a.b.1.tmp", "3.4.tmp", "file.17.0.tmp.bak"}) {
    folder_.Write(name, "x");
  }

  RemoveAbandonedFiles(folder_.path());

  EXPECT_THAT(Names(), testing::UnorderedElementsAre("file", "notes.tmp", "a.b.1.tmp", "3.4.tmp",
                                                     "file.17.0.tmp.bak"));
}

TEST_F(FilesTest, WhatKilledProcessesLeftOfOneFileCanBeRemoved) {
  for (const char* name : {"file.17.0.tmp", "file.1234.5.tmp", "file", "file.b.17.0.tmp",
                           "other.17.0.tmp", "file.5.tmp"}) {
    folder_.Write(name, "x");
  }

  RemoveAbandonedAttempts(path_);

  EXPECT_THAT(Names(), testing::UnorderedElementsAre("file", "file.b.17.0.tmp", "other.17.0.tmp",
                                                     "file.5.tmp"));
}

TEST_F(FilesTest, WhatIsNotCommittedLeavesNothing) {
  {
    ASSERT_OK_AND_ASSIGN(AtomicFile file, AtomicFile::Create(path_));
    file.Append("half");
    const AtomicFile moved = std::move(file);
  }
  EXPECT_THAT(Names(), IsEmpty());
}

TEST_F(FilesTest, TwoWhoWriteOneFileDoNotMix) {
  ASSERT_OK_AND_ASSIGN(AtomicFile first, AtomicFile::Create(path_));
  ASSERT_OK_AND_ASSIGN(AtomicFile second, AtomicFile::Create(path_));
  first.Append("first");
  second.Append("second");
  EXPECT_THAT(first.Commit(), IsOk());
  EXPECT_THAT(second.Commit(), IsOk());
  EXPECT_EQ(ReadFile(path_), "second");
}

TEST_F(FilesTest, ErrorsBeginWithThePath) {
  const std::string nowhere = folder_.path() + "/none/file";
  EXPECT_THAT(AtomicFile::Create(nowhere),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(nowhere + ": cannot create")));
  EXPECT_THAT(MappedFile::Open(path_, "its name"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("its name: cannot open")));
  EXPECT_THAT(MappedFile::Open(folder_.path(), "its name"),
              StatusIs(absl::StatusCode::kInvalidArgument, "its name: not a regular file"));
  EXPECT_THAT(MappedFile::Open(folder_.Write("empty", ""), "its name"),
              StatusIs(absl::StatusCode::kInvalidArgument, "its name: empty file"));
}

TEST_F(FilesTest, APipeIsRefusedInsteadOfWaitedFor) {
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  EXPECT_THAT(MappedFile::Open(path_, "pipe"),
              StatusIs(absl::StatusCode::kInvalidArgument, "pipe: not a regular file"));
}

TEST_F(FilesTest, AMappedFileOutlivesItsName) {
  ASSERT_OK_AND_ASSIGN(const auto mapped, MappedFile::Open(folder_.Write("file", "bytes"), "file"));
  std::filesystem::remove(path_);
  EXPECT_EQ(mapped->bytes(), "bytes");
}

}  // namespace
}  // namespace files
