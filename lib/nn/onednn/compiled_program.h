// The Program that a Graph is compiled into. Internal to nn/onednn.
#ifndef DUET_NN_ONEDNN_COMPILED_PROGRAM_H_
#define DUET_NN_ONEDNN_COMPILED_PROGRAM_H_

#include <cstddef>
#include <cstring>
#include <functional>
#include <oneapi/dnnl/dnnl.hpp>
#include <vector>

#include "nn/onednn/aligned.h"
#include "nn/onednn/engine.h"
#include "nn/onednn/program.h"

namespace nn::onednn {

inline AlignedArray<std::byte> AllocateZeros(std::size_t bytes) {
  AlignedArray<std::byte> p = AllocateAligned<std::byte>(bytes);
  std::memset(p.get(), 0, bytes);
  return p;
}

// Steps that run one after the other, and the memory that they point into. The compiler fills it;
// it must not move afterwards.
class CompiledProgram final : public Program {
 public:
  void Run(const float* input) override {
    for (auto& memory : inputs) memory.set_data_handle(const_cast<float*>(input));
    for (const auto& step : steps) step();
    stream.wait();
  }
  Output output(std::size_t index) const override { return outputs[index]; }
  std::size_t output_count() const override { return outputs.size(); }
  std::size_t weight_bytes() const override { return packed_weight_bytes; }
  std::size_t arena_bytes() const override { return arena_size; }
  int winograd_count() const override { return winograd; }

  // Gives the program a scratchpad, in place of one that it had. `users` will point at it.
  void UseScratchpad(std::size_t bytes, const std::vector<dnnl::memory>& users) {
    scratchpad = AllocateZeros(bytes);
    for (dnnl::memory user : users) {  // all copies see what is set
      user.set_data_handle(scratchpad.get());
    }
  }

  dnnl::stream stream{CpuEngine()};
  std::vector<std::function<void()>> steps;
  std::vector<dnnl::memory> inputs;  // those that read the caller's image
  std::vector<Output> outputs;
  std::vector<AlignedArray<std::byte>> output_data;
  std::size_t packed_weight_bytes = 0;
  std::size_t arena_size = 0;
  AlignedArray<std::byte> arena;       // of all values
  AlignedArray<std::byte> scratchpad;  // of one step at a time
  int winograd = 0;
};

}  // namespace nn::onednn

#endif  // DUET_NN_ONEDNN_COMPILED_PROGRAM_H_
