// The tensors of an official checkpoint of SAM's families, from a list of its names and shapes
// (tests/data/segmenter/manifests/), written by the upstream package that makes the network.
#ifndef DUET_TESTS_UNIT_SEGMENTER_SERVICE_OFFICIAL_FILE_H_
#define DUET_TESTS_UNIT_SEGMENTER_SERVICE_OFFICIAL_FILE_H_

#include <absl/strings/numbers.h>
#include <absl/strings/str_split.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstddef>
#include <fstream>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"

namespace segmenter {

// `name`: without ".txt", e.g. "sam2.1-hiera-large". All tensors lie in zeros that take no memory
// until somebody writes; they live as long as the process.
inline checkpoint::StateDict ReadManifest(const std::string& name) {
  constexpr std::size_t kBytes = std::size_t{3} << 30;  // more than ViT-H
  static void* const memory =
      mmap(nullptr, kBytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  checkpoint::StateDict state_dict;
  std::ifstream file(std::string(DUET_TEST_DATA) + "/segmenter/manifests/" + name + ".txt");
  std::size_t offset = 0;
  for (std::string line; std::getline(file, line);) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    checkpoint::TensorView view;
    for (std::size_t i = 1; i < words.size(); ++i) {
      EXPECT_TRUE(absl::SimpleAtoi(words[i], &view.shape.emplace_back()));
    }
    if (words.size() == 1) view.dtype = checkpoint::DType::kInt64;  // a count of batches
    view.strides = checkpoint::ContiguousStrides(view.shape);
    view.data = static_cast<const std::byte*>(memory) + offset;
    offset += (view.NumElements() * SizeOf(view.dtype) + 63) / 64 * 64;
    EXPECT_LE(offset, kBytes);
    state_dict.emplace_back(words[0], view);
  }
  EXPECT_FALSE(state_dict.empty()) << name;
  return state_dict;
}

}  // namespace segmenter

#endif  // DUET_TESTS_UNIT_SEGMENTER_SERVICE_OFFICIAL_FILE_H_
