#include "serving/version.h"

#include <gmock/gmock.h>

#include <string>

namespace serving {
namespace {

TEST(VersionTest, IsTheProjects) {
  EXPECT_THAT(std::string(Version()), testing::MatchesRegex("[0-9]+[.][0-9]+[.][0-9]+"));
}

}  // namespace
}  // namespace serving
