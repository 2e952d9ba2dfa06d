#include "serving/secret.h"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <thread>

#include "tests/testing/fake_clock.h"
#include "tests/testing/log_capture.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace serving {
namespace {

using duet_testing::StatusIs;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

class SecretTest : public testing::Test {
 protected:
  absl::StatusOr<std::shared_ptr<const Secret>> Read(const std::string& path) {
    return Secret::FromFile(path, [this] { return clock_.Now(); });
  }

  duet_testing::FakeClock clock_;
  duet_testing::TempDir dir_;
};

TEST_F(SecretTest, AValueIsForGood) { EXPECT_EQ(Secret("abc").value(), "abc"); }

TEST_F(SecretTest, AFileIsReadWithoutItsLastLineBreak) {
  ASSERT_OK_AND_ASSIGN(const auto secret, Read(dir_.Write("token", " a b\r\n")));
  EXPECT_EQ(secret->value(), " a b");
}

TEST_F(SecretTest, ARotatedFileIsReadAgainAndNotInTheLog) {
  duet_testing::LogCapture log;
  const std::string path = dir_.Write("token", "first-value");
  ASSERT_OK_AND_ASSIGN(const auto secret, Read(path));

  dir_.Write("token", "other-value");
  EXPECT_EQ(secret->value(), "first-value") << "not looked at for every request";
  clock_.Advance(Secret::kAge);

  EXPECT_EQ(secret->value(), "other-value");
  ASSERT_THAT(log.lines("secret.changed"), SizeIs(1));
  EXPECT_THAT(log.lines()[0], AllOf(HasSubstr(path), Not(HasSubstr("-value"))));
}

// As Kubernetes does it: the name is a link through a folder that is swapped.
TEST_F(SecretTest, AFileBehindASwappedLinkIsTheNewOne) {
  dir_.Write("one/token", "first");
  dir_.Write("two/token", "second");
  const std::string link = dir_.path() + "/data";
  ASSERT_EQ(symlink("one", link.c_str()), 0);
  ASSERT_OK_AND_ASSIGN(const auto secret, Read(link + "/token"));

  ASSERT_EQ(symlink("two", (link + ".new").c_str()), 0);
  ASSERT_EQ(std::rename((link + ".new").c_str(), link.c_str()), 0);
  clock_.Advance(Secret::kAge);

  EXPECT_EQ(secret->value(), "second");
}

TEST_F(SecretTest, AFileThatGoesAwayLeavesTheSecretAndOneWarning) {
  duet_testing::LogCapture log;
  const std::string path = dir_.Write("token", "value");
  ASSERT_OK_AND_ASSIGN(const auto secret, Read(path));

  ASSERT_EQ(unlink(path.c_str()), 0);
  for (int i = 0; i < 3; ++i) {
    clock_.Advance(Secret::kAge);
    EXPECT_EQ(secret->value(), "value");
  }
  EXPECT_THAT(log.lines("secret.unreadable"), SizeIs(1));

  for (const char* bad : {"", "\n"}) {
    dir_.Write("token", bad);
    clock_.Advance(Secret::kAge);
    EXPECT_EQ(secret->value(), "value") << "half written";
  }
  dir_.Write("token", "back");
  clock_.Advance(Secret::kAge);
  EXPECT_EQ(secret->value(), "back");
}

TEST_F(SecretTest, WhatHoldsNoSecretIsRefusedByName) {
  const auto code = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(Read("/nonexistent/token"), StatusIs(code, HasSubstr("/nonexistent/token")));
  EXPECT_THAT(Read(dir_.path()), StatusIs(code, HasSubstr(dir_.path())));
  EXPECT_THAT(Read(dir_.Write("empty", " \n")), StatusIs(code, HasSubstr("is empty")));
  EXPECT_THAT(Read(dir_.Write("large", std::string(100'000, 'x'))),
              StatusIs(code, HasSubstr("64 KiB")));
}

TEST_F(SecretTest, APipeIsReadOnce) {
  const std::string path = dir_.path() + "/pipe";
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  std::thread writer([&] {
    std::FILE* const pipe = std::fopen(path.c_str(), "w");
    std::fputs("piped\n", pipe);
    std::fclose(pipe);
  });
  const auto secret = Read(path);
  writer.join();
  ASSERT_TRUE(secret.ok()) << secret.status();

  clock_.Advance(absl::Hours(1));

  EXPECT_EQ((*secret)->value(), "piped");
}

}  // namespace
}  // namespace serving
