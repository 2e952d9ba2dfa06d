#include "nn/compute_thread.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <new>
#include <set>
#include <thread>
#include <vector>

namespace nn {
namespace {

TEST(ComputeThreadTest, AllWorkIsOnOneThreadOneAfterTheOther) {
  std::set<std::thread::id> ids;  // without a mutex: TSan sees who is not alone
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&] {
      for (int k = 0; k < 100; ++k) {
        RunOnComputeThread([&] { ids.insert(std::this_thread::get_id()); });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();

  EXPECT_EQ(ids.size(), 1U);
  EXPECT_FALSE(ids.contains(std::this_thread::get_id()));
}

TEST(ComputeThreadTest, WorkHasItsCallersNumberOfThreads) {
  for (const auto run : {RunOnComputeThread, RunOnTemporaryThread}) {
    for (const int threads : {1, 2, 1}) {
      omp_set_num_threads(threads);
      int seen = 0;
      run([&] { seen = omp_get_max_threads(); });
      EXPECT_EQ(seen, threads);
    }
  }
}

TEST(ComputeThreadTest, WhatWorkThrowsIsThrownToItsCaller) {
  for (const auto run : {RunOnComputeThread, RunOnTemporaryThread}) {
    EXPECT_THROW(run([] { throw std::bad_alloc(); }), std::bad_alloc);
    bool ran = false;
    run([&] { ran = true; });
    EXPECT_TRUE(ran);
  }
}

TEST(ComputeThreadTest, WorkWithinWorkRunsAtOnce) {
  bool ran = false;

  RunOnComputeThread([&] { RunOnComputeThread([&] { ran = true; }); });

  EXPECT_TRUE(ran);
}

TEST(ComputeThreadTest, ATemporaryThreadDoesNotWaitForTheComputingOne) {
  bool ran = false;

  RunOnComputeThread([&] { RunOnTemporaryThread([&] { ran = true; }); });

  EXPECT_TRUE(ran);
}

}  // namespace
}  // namespace nn
