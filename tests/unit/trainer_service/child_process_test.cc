#include "trainer_service/child/child_process.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace trainer_service {
namespace {

using duet_testing::StatusIs;
using testing::ElementsAre;
using testing::HasSubstr;

struct Outcome {
  absl::StatusOr<ChildEnd> end;
  std::vector<std::string> lines;
};

Outcome RunShell(
    const std::string& script, ChildOptions options = {},
    absl::FunctionRef<bool()> should_end = [] { return false; }) {
  Outcome outcome{absl::UnknownError(""), {}};
  options.command = {"/bin/sh", "-c", script};
  outcome.end = RunChild(
      options, [&](std::string_view line) { outcome.lines.emplace_back(line); }, should_end);
  return outcome;
}

TEST(ChildProcessTest, LinesComeAsTheyAreAndSoDoesTheEnd) {
  const Outcome ok = RunShell("echo one; echo; printf two");

  ASSERT_TRUE(ok.end.ok()) << ok.end.status();
  EXPECT_TRUE(ok.end->ok());
  EXPECT_THAT(ok.lines, ElementsAre("one", "", "two"));

  const Outcome failed = RunShell("echo 'sh: first' >&2; echo 'sh: no room' >&2; exit 3");
  EXPECT_EQ(Describe(*failed.end), "ended with exit code 3: no room");
  EXPECT_EQ(Describe(*RunShell("kill -9 $$").end),
            "was killed by signal 9: by somebody, or by the kernel since memory ran out");
  EXPECT_EQ(Describe(*RunShell("kill -11 $$").end), "was ended by signal 11");
}

TEST(ChildProcessTest, AProgramThatCantBeStartedIsAnError) {
  const auto end = RunChild(
      {.command = {"/nowhere/program"}}, [](std::string_view) {}, [] { return false; });

  EXPECT_THAT(end, StatusIs(absl::StatusCode::kUnavailable,
                            HasSubstr("/nowhere/program: cannot be started: No such file")));
}

TEST(ChildProcessTest, ItIsTheLastToComputeAndTheFirstToGo) {
  setenv("DUET_VAL_SHARE", "1", 1);
  const Outcome child = RunShell(
      "nice; cat /proc/self/oom_score_adj; ulimit -d; ulimit -c; chrt -p $$ | head -n 1 | "
      "grep -c SCHED_IDLE; echo /proc/self/fd/*; echo \"[$DUET_VAL_SHARE]\"; read x; "
      "echo \"[$x]\"",
      {.max_memory = 1 << 28});
  unsetenv("DUET_VAL_SHARE");

  // Descriptor 3 is the one that the shell reads the folder with.
  EXPECT_THAT(
      child.lines,
      ElementsAre("19", "1000", "262144", "0", "1",
                  "/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 /proc/self/fd/3", "[]", "[]"));
}

TEST(ChildProcessTest, AskedToEndItMayEndByItself) {
  int looks = 0;
  const Outcome child =
      RunShell("trap 'echo saved; exit 143' TERM; echo ready; while :; do sleep 0.01; done", {},
               [&] { return ++looks > 2; });

  EXPECT_THAT(child.lines, ElementsAre("ready", "saved"));
  EXPECT_TRUE(child.end->asked);
  EXPECT_EQ(child.end->exit_code, 143);
}

TEST(ChildProcessTest, WhoeverDoesntEndIsKilledWithItsOwnChildren) {
  const duet_testing::TempDir dir;
  const std::string pid = dir.path() + "/pid";
  const Outcome child = RunShell(
      "trap '' TERM; sleep 1000 & echo $! >" + pid + ".new; mv " + pid + ".new " + pid + "; wait",
      {.patience = absl::ZeroDuration()}, [&] { return access(pid.c_str(), F_OK) == 0; });

  EXPECT_EQ(child.end->signal, SIGKILL);
  const int grandchild = std::stoi(duet_testing::ReadFile(pid));
  while (kill(grandchild, 0) == 0) {
  }
}

TEST(ChildProcessTest, WhoeverHangsIsKilled) {
  const Outcome child = RunShell("sleep 1000", {.silence = absl::Milliseconds(50)});

  EXPECT_TRUE(child.end->silent);
  EXPECT_THAT(Describe(*child.end), HasSubstr("had said nothing for too long"));
}

TEST(ChildProcessTest, TooLongALineIsCut) {
  const Outcome child = RunShell("head -c 3000000 /dev/zero | tr '\\0' x");

  ASSERT_EQ(child.lines.size(), 1u);
  EXPECT_LE(child.lines[0].size(), 2u << 20);
}

TEST(MemoryBudgetTest, IsTheSmallestLimitOfTheCgroups) {
  const duet_testing::TempDir root;
  const std::uint64_t machine = MemoryBudget(root.path());
  EXPECT_GT(machine, 0u);
  root.Write("proc/self/cgroup", "0::/pod/container\n");
  root.Write("sys/fs/cgroup/pod/container/memory.max", "max\n");
  root.Write("sys/fs/cgroup/pod/memory.max", "1000000\n");
  EXPECT_EQ(MemoryBudget(root.path()), 1'000'000u);
  root.Write("sys/fs/cgroup/pod/memory.max", "rubbish\n");
  EXPECT_EQ(MemoryBudget(root.path()), machine);
}

}  // namespace
}  // namespace trainer_service
