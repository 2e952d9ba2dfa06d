#include "serving/cpu.h"

#include <gmock/gmock.h>
#include <sched.h>

#include "tests/testing/temp_dir.h"

namespace serving {
namespace {

using duet_testing::TempDir;

class CpuBudgetTest : public testing::Test {
 protected:
  TempDir root_;
};

TEST_F(CpuBudgetTest, ReadsTheQuotaOfCgroup2) {
  root_.Write("proc/self/cgroup", "0::/pod/container\n");
  root_.Write("sys/fs/cgroup/pod/container/cpu.max", "150000 100000\n");
  EXPECT_EQ(ReadCpuBudget(root_.path()).quota, 1.5);
}

TEST_F(CpuBudgetTest, TheTightestOfTheParentsCounts) {
  root_.Write("proc/self/cgroup", "0::/pod/container\n");
  root_.Write("sys/fs/cgroup/pod/container/cpu.max", "max 100000\n");
  root_.Write("sys/fs/cgroup/pod/cpu.max", "50000 100000\n");
  EXPECT_EQ(ReadCpuBudget(root_.path()).quota, 0.5);
}

TEST_F(CpuBudgetTest, InsideAContainerTheGroupIsMountedAtTheTop) {
  root_.Write("proc/self/cgroup", "0::/kubepods/burstable/pod1/abc\n");
  root_.Write("sys/fs/cgroup/cpu.max", "400000 100000\n");
  EXPECT_EQ(ReadCpuBudget(root_.path()).quota, 4);
}

TEST_F(CpuBudgetTest, ReadsTheQuotaOfCgroup1) {
  root_.Write("proc/self/cgroup", "5:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n0::/\n");
  root_.Write("sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us", "200000\n");
  root_.Write("sys/fs/cgroup/cpu/docker/x/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(ReadCpuBudget(root_.path()).quota, 2);
}

TEST_F(CpuBudgetTest, NoQuotaIsNoQuota) {
  EXPECT_EQ(ReadCpuBudget(root_.path()).quota, std::nullopt);
  root_.Write("proc/self/cgroup", "4:cpu,cpuacct:/\n0::/\ngarbage\n");
  root_.Write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  root_.Write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  root_.Write("sys/fs/cgroup/cpu.max", "max 100000\n");
  EXPECT_EQ(ReadCpuBudget(root_.path()).quota, std::nullopt);
}

TEST_F(CpuBudgetTest, AffinityIsThisProcessesMask) {
  cpu_set_t set;
  ASSERT_EQ(sched_getaffinity(0, sizeof set, &set), 0);
  EXPECT_EQ(ReadCpuBudget(root_.path()).affinity, CPU_COUNT(&set));
}

TEST(CpuBudgetThreadsTest, AreTheSmallerOfAffinityAndQuotaRoundedUp) {
  EXPECT_EQ((CpuBudget{.affinity = 8}).threads(), 8);
  EXPECT_EQ((CpuBudget{.affinity = 8, .quota = 1.5}).threads(), 2);
  EXPECT_EQ((CpuBudget{.affinity = 8, .quota = 0.1}).threads(), 1);
  EXPECT_EQ((CpuBudget{.affinity = 2, .quota = 6}).threads(), 2);
}

}  // namespace
}  // namespace serving
