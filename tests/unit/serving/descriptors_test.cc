#include "serving/descriptors.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>

namespace serving {
namespace {

TEST(DescriptorsTest, TheSoftLimitIsRaisedToTheHardOne) {
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = 100;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  ASSERT_EQ(DescriptorLimit(), 100);

  const int raised = RaiseDescriptorLimit();

  EXPECT_EQ(static_cast<rlim_t>(raised), std::min<rlim_t>(limit.rlim_max, 1'000'000));
  EXPECT_EQ(DescriptorLimit(), raised);
}

}  // namespace
}  // namespace serving
