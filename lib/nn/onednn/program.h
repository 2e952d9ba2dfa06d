// Program: a compiled Graph, ready to run.
#ifndef DUET_NN_ONEDNN_PROGRAM_H_
#define DUET_NN_ONEDNN_PROGRAM_H_

#include <cstddef>
#include <memory>

namespace nn::onednn {

// Owns packed weights, the arena of intermediate tensors and the results. One Run at a time: not
// thread-safe. Run it with the number of OpenMP threads that it was compiled with.
class Program {
 public:
  // A result: float32, pixels row-major, channels innermost (HWC).
  struct Output {
    const float* data;
    int channels;
    int height;
    int width;
  };

  virtual ~Program() = default;

  // `input`: the Graph's Input, CHW float32, read only during the call.
  virtual void Run(const float* input) = 0;
  // Valid until the next Run.
  virtual Output output(std::size_t index) const = 0;
  virtual std::size_t output_count() const = 0;

  // Bytes of packed weights and of the arena.
  virtual std::size_t weight_bytes() const = 0;
  virtual std::size_t arena_bytes() const = 0;
  // How many convolutions run as Winograd.
  virtual int winograd_count() const = 0;
};

}  // namespace nn::onednn

#endif  // DUET_NN_ONEDNN_PROGRAM_H_
