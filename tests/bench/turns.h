// Duet's side of a benchmark beside other programs (side_by_side.py of a layer): a process that
// does one piece of work for each line of its input and answers with the milliseconds that it took,
// so that all contenders can take turns on one machine.
#ifndef DUET_TESTS_BENCH_TURNS_H_
#define DUET_TESTS_BENCH_TURNS_H_

#include <absl/status/statusor.h>

#include <functional>
#include <string>

namespace bench {

// Does a piece of work; returns the milliseconds that it took.
using Work = std::function<absl::StatusOr<double>()>;

double Milliseconds(const std::function<void()>& work);
// Work that takes as long as `work` does.
Work Timed(std::function<absl::Status()> work);

// Prints the CPU's model and the instructions that oneDNN uses of it; returns what main should.
int PrintMachine();

// Lines are "what form", e.g. "network bf16"; `make` is called for the first of each. Answers are a
// number or "- reason". Answered here: "gemm fp32|bf16", GFLOP/s of a prepacked 2048³ product;
// "memory", resident, MB.
// Ends with the input; returns what main should.
int TakeTurns(const std::function<absl::StatusOr<Work>(const std::string& what,
                                                       const std::string& form)>& make,
              int threads);

}  // namespace bench

#endif  // DUET_TESTS_BENCH_TURNS_H_
