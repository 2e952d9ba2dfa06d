#include "nn/onednn/kernel_time.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <atomic>
#include <semaphore>
#include <thread>

namespace nn::onednn {
namespace {

TEST(KernelTimeTest, TheLeastOfTheRunsCounts) {
  double now = 0;
  int run = 0;
  const double steps[] = {5, 2, 3};

  const double least = LeastSeconds(
      3, [&] { now += steps[run++]; }, [&] { return now; });

  EXPECT_EQ(least, 2);
  EXPECT_EQ(run, 3);
}

TEST(KernelTimeTest, WhatAnotherThreadDoesMeanwhileDoesNotCount) {
  // In every run another thread computes for 50 ms of its own CPU time while this one waits.
  constexpr double kBusySeconds = 0.05;
  std::binary_semaphore begin(0), end(0);
  std::atomic<bool> stop = false;
  std::thread other([&] {
    for (begin.acquire(); !stop; begin.acquire()) {
      for (const double start = ThreadSeconds(); ThreadSeconds() - start < kBusySeconds;) {
      }
      end.release();
    }
  });

  const double least = LeastSeconds(3, [&] {
    begin.release();
    end.acquire();
  });

  // By the process's CPU time it would be at least as much.
  EXPECT_LT(least, kBusySeconds);
  stop = true;
  begin.release();
  other.join();
}

TEST(KernelTimeTest, AKernelIsTimedOnOneThreadAndThenHasItsTeamAgain) {
  omp_set_num_threads(3);
  {
    const AloneOnOneThread alone;
    EXPECT_EQ(omp_get_max_threads(), 1);
  }
  EXPECT_EQ(omp_get_max_threads(), 3);
}

}  // namespace
}  // namespace nn::onednn
