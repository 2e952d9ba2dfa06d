// The tensors of an official checkpoint of SAM's families, from a list of its names and shapes
// (tests/data/segmenter/manifests/), written by the upstream package that makes the network.
#ifndef DUET_TESTS_UNIT_SEGMENTER_SERVICE_OFFICIAL_FILE_H_
#define DUET_TESTS_UNIT_SEGMENTER_SERVICE_OFFICIAL_FILE_H_

#include <absl/strings/numbers.h>
#include <absl/strings/str_split.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "tests/testing/zero_tensors.h"

namespace segmenter {

// `name`: without ".txt", e.g. "sam2.1-hiera-large".
inline checkpoint::StateDict ReadManifest(const std::string& name) {
  duet_testing::ZeroTensors tensors;
  std::ifstream file(std::string(DUET_TEST_DATA) + "/segmenter/manifests/" + name + ".txt");
  for (std::string line; std::getline(file, line);) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    std::vector<std::int64_t> shape;
    for (std::size_t i = 1; i < words.size(); ++i) {
      EXPECT_TRUE(absl::SimpleAtoi(words[i], &shape.emplace_back()));
    }
    const bool is_count = words.size() == 1;  // of batches
    tensors.Add(words[0], std::move(shape),
                is_count ? checkpoint::DType::kInt64 : checkpoint::DType::kFloat32);
  }
  EXPECT_FALSE(tensors.state().empty()) << name;
  return tensors.state();
}

}  // namespace segmenter

#endif  // DUET_TESTS_UNIT_SEGMENTER_SERVICE_OFFICIAL_FILE_H_
