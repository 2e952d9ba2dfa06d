// What tests of duet's bulk commands share: images in a folder of their own, and commands that run
// to their ends.
#ifndef DUET_TESTS_INTEGRATION_BULK_COMMAND_TEST_H_
#define DUET_TESTS_INTEGRATION_BULK_COMMAND_TEST_H_

#include <absl/strings/str_cat.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/testing/subprocess.h"
#include "tests/testing/temp_dir.h"

namespace bulk_testing {

// The smallest GIF; what follows its end makes one image differ from another.
inline std::string Gif(int number) {
  return std::string(
             "GIF89a\x40\x01\xf0\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00"
             "\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00;",
             35) +
         std::to_string(number);
}

class CommandTest : public ::testing::Test {
 protected:
  // Images 0.gif … in a folder; returns its path.
  std::string Images(int count) {
    for (int i = 0; i < count; ++i) {
      folder_.Write(absl::StrCat("images/", i / 10, "/", i, ".gif"), Gif(i));
    }
    return folder_.path() + "/images";
  }
  std::string Out(const std::string& name) const { return folder_.path() + "/" + name; }

  struct Ended {
    int code = -1;
    std::string out;
    std::string err;
  };
  static Ended AwaitEnd(duet_testing::Subprocess& process) {
    const int code = process.Wait();
    return {code, process.out(), process.err()};
  }

  const duet_testing::TempDir folder_;
};

}  // namespace bulk_testing

#endif  // DUET_TESTS_INTEGRATION_BULK_COMMAND_TEST_H_
