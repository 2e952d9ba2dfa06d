// The tensors of a checkpoint by their names and shapes alone, for tests of what is read from them:
// an official model's take gigabytes.
#ifndef DUET_TESTS_TESTING_ZERO_TENSORS_H_
#define DUET_TESTS_TESTING_ZERO_TENSORS_H_

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/checkpoint.h"

namespace duet_testing {

// All numbers are zeros in memory that takes no room, lives as long as the process and may not be
// written.
class ZeroTensors {
 public:
  void Add(const std::string& name, std::vector<std::int64_t> shape,
           checkpoint::DType dtype = checkpoint::DType::kFloat32) {
    static const auto* const zeros = static_cast<const std::byte*>(
        mmap(nullptr, kBytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    checkpoint::TensorView view;
    view.dtype = dtype;
    view.strides = checkpoint::ContiguousStrides(shape);
    view.shape = std::move(shape);
    view.data = zeros + offset_;
    offset_ += (view.NumElements() * SizeOf(dtype) + 63) / 64 * 64;
    EXPECT_LE(offset_, kBytes);
    state_.emplace_back(name, view);
  }

  const checkpoint::StateDict& state() const { return state_; }

 private:
  static constexpr std::size_t kBytes = std::size_t{3} << 30;  // more than SAM's ViT-H

  std::size_t offset_ = 0;
  checkpoint::StateDict state_;
};

}  // namespace duet_testing

#endif  // DUET_TESTS_TESTING_ZERO_TENSORS_H_
