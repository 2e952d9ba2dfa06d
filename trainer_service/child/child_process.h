// Runs a program to its end beside this one, so that whatever happens to it harms nobody: it gets
// only what processor time others leave, a limit of memory, is the first that the kernel ends when
// memory is short, and never outlives this process.
#ifndef DUET_TRAINER_SERVICE_CHILD_CHILD_PROCESS_H_
#define DUET_TRAINER_SERVICE_CHILD_CHILD_PROCESS_H_

#include <absl/functional/function_ref.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trainer_service {

struct ChildOptions {
  std::vector<std::string> command;  // the program's path and its arguments
  // Bytes of memory that it may have for itself (RLIMIT_DATA); 0: no limit.
  std::uint64_t max_memory = 0;
  // How long it has to end by itself, once it was asked to.
  absl::Duration patience = absl::Seconds(5);
  // How long it may say nothing before it is killed: it hangs then, as OpenBLAS does where it gets
  // no memory.
  absl::Duration silence = absl::InfiniteDuration();
};

struct ChildEnd {
  int exit_code = 0;       // 0 to 255, if no signal ended it
  int signal = 0;          // that ended it; 0: none
  bool asked = false;      // to end, before it did
  bool silent = false;     // for too long, and killed for that
  std::string last_words;  // the last line of its stderr, without what it calls itself; or ""

  bool ok() const { return exit_code == 0 && signal == 0; }
};

// Starts the program and waits for its end. `on_line` gets each line of its stdout as it comes
// (what has no end of line after 1 MiB is cut there). `should_end` is asked ten times a second:
// once it is true the program gets SIGTERM, and SIGKILL after the options' patience. Unavailable
// if it can't be started, saying why.
//
// The program has nice 19 and SCHED_IDLE (docs/adr/0902), its stdin is empty, no other file of
// this process is open in it, no signal is blocked, and of the environment it doesn't see the
// variables that are flags (DUET_…): those of this process are none of its own. REQUIRES: the
// calling thread lives as long as the program, since the program dies with it (PR_SET_PDEATHSIG).
absl::StatusOr<ChildEnd> RunChild(const ChildOptions& options,
                                  absl::FunctionRef<void(std::string_view line)> on_line,
                                  absl::FunctionRef<bool()> should_end);

// How it ended, as the end of a sentence: "ended with exit code 1: no room on the disk", "was
// killed by signal 9: by somebody, or by the kernel since memory ran out".
std::string Describe(const ChildEnd& end);

// Bytes that this process and its children may have together: what the machine has, or the
// smallest limit of the cgroup (version 2) and its parents. `root` precedes /proc and /sys: "" but
// for tests.
std::uint64_t MemoryBudget(const std::string& root = "");

}  // namespace trainer_service

#endif  // DUET_TRAINER_SERVICE_CHILD_CHILD_PROCESS_H_
