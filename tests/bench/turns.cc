#include "tests/bench/turns.h"

#include <ATen/Functions.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <map>
#include <sstream>
#include <utility>

#include "nn/compute_thread.h"
#include "nn/onednn/kernel_plan.h"
#include "nn/onednn/matmul.h"
#include "serving/process_metrics.h"

namespace bench {
namespace {

double GemmGflops(const std::string& type, int threads) {
  constexpr std::int64_t kSide = 2048;
  const auto precision =
      type == "bf16" ? nn::onednn::Precision::kBFloat16 : nn::onednn::Precision::kFloat32;
  nn::onednn::PackedLinear linear(at::randn({kSide, kSide}), at::Tensor(),
                                  {.rows = kSide, .type = precision, .threads = threads});
  const at::Tensor input =
      at::randn({kSide, kSide}).to(type == "bf16" ? at::kBFloat16 : at::kFloat);
  at::Tensor output = at::empty({kSide, kSide});
  double best = 1e30;
  for (int run = 0; run < 10; ++run) {
    best = std::min(best, Milliseconds([&] { linear.Run(input.data_ptr(), output.data_ptr()); }));
  }
  return 2.0 * kSide * kSide * kSide / best / 1e6;
}

}  // namespace

double Milliseconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

Work Timed(std::function<absl::Status()> work) {
  return [work = std::move(work)]() -> absl::StatusOr<double> {
    absl::Status status;
    const double elapsed = Milliseconds([&] { status = work(); });
    if (!status.ok()) return status;
    return elapsed;
  };
}

int PrintMachine() {
  std::printf("%s\n", nn::onednn::ThisMachine().c_str());
  return 0;
}

int TakeTurns(const std::function<absl::StatusOr<Work>(const std::string& what,
                                                       const std::string& form)>& make,
              int threads) {
  std::map<std::string, Work> works;
  const auto answer_to = [&](const std::string& line) -> absl::StatusOr<double> {
    std::istringstream words(line);
    std::string what, form;
    words >> what >> form;
    if (what == "memory") return static_cast<double>(serving::ResidentBytes()) / 1e6;
    if (what == "gemm") {
      double gflops = 0;
      nn::RunOnComputeThread([&] { gflops = GemmGflops(form, threads); });
      return gflops;
    }
    if (!works.contains(line)) {
      absl::StatusOr<Work> made = make(what, form);
      if (!made.ok()) return made.status();
      works[line] = *std::move(made);
    }
    return works[line]();
  };
  std::string line;
  while (std::getline(std::cin, line)) {
    const absl::StatusOr<double> answer = answer_to(line);
    if (answer.ok()) {
      std::printf("%.3f\n", *answer);
    } else {
      std::printf("- %s\n", std::string(answer.status().message()).c_str());
    }
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace bench
