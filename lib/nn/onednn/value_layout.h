// Where the values of a graph lie in a program's arena. Internal to nn/onednn.
#ifndef DUET_NN_ONEDNN_VALUE_LAYOUT_H_
#define DUET_NN_ONEDNN_VALUE_LAYOUT_H_

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <oneapi/dnnl/dnnl.hpp>
#include <vector>

#include "nn/onednn/arena.h"
#include "nn/onednn/elementwise.h"
#include "nn/onednn/graph.h"
#include "nn/onednn/graph_node.h"
#include "nn/onednn/precision.h"

namespace nn::onednn {

// A value's channels as they lie in memory: parts of whole blocks, each padded with zeros at its
// end.
struct Channels {
  struct Part {
    int count;
    int padded;
  };
  std::vector<Part> parts;

  int padded() const;
};

// `tensor` with dimension `dim` widened from the logical to the padded channels, zeros between.
at::Tensor Widen(const at::Tensor& tensor, int dim, const Channels& channels);

// Values share memory where their lives allow it. In the blocked layout the inputs of a
// concatenation are written into its buffer, and a gate scales its input in place, unless another
// value needs them elsewhere.
class ValueLayout {
 public:
  // `outputs`: values that are read after the last step. `block`: channels per block.
  ValueLayout(const std::vector<GraphNode>& nodes, const std::vector<int>& outputs,
              Precision precision, Layout layout, int block);

  const Channels& channels(int value) const { return channels_[value]; }
  // REQUIRES: `value` is not the graph's input, which the caller of Program::Run owns.
  BlockedShape shape(int value) const;
  // The first `channels` of a value, as oneDNN calls it.
  dnnl::memory::desc Describe(int value, int channels) const;
  // The whole value.
  dnnl::memory::desc Describe(int value) const { return Describe(value, channels(value).padded()); }
  std::size_t bytes(int value) const;
  std::size_t offset(int value) const;  // bytes from the arena's beginning

  Layout layout() const { return layout_; }
  int block() const { return block_; }
  dnnl::memory::format_tag format() const;
  std::size_t element_bytes() const { return element_bytes_; }
  std::size_t arena_bytes() const { return plan_.bytes; }

  // Convolutions read the caller's image itself, NCHW in float32, or a copy of it.
  bool copies_input() const {
    return precision_ == Precision::kBFloat16 || layout_ == Layout::kChannelsLast;
  }
  dnnl::memory::format_tag input_format() const;
  // Of the copy. REQUIRES: copies_input().
  std::size_t input_copy_offset() const { return plan_.offsets[input_copy_buffer_]; }

 private:
  struct Place {
    int buffer = -1;
    int channel = 0;  // padded channels before this value in its buffer
  };

  void LayOutChannels();
  // Gives every value but the input a buffer, or a place in another value's.
  std::vector<BufferLife> PlaceValues();
  // Extends the lives of buffers to all steps that read or write them.
  void SetLives(const std::vector<int>& outputs, std::vector<BufferLife>* lives) const;
  BufferLife InputCopyLife() const;

  const std::vector<GraphNode>& nodes_;  // used during construction and by shape()
  const Precision precision_;
  const Layout layout_;
  const int block_;
  const std::size_t element_bytes_;
  std::vector<Channels> channels_;
  std::vector<Place> places_;
  std::size_t input_copy_buffer_ = 0;
  ArenaPlan plan_;
};

}  // namespace nn::onednn

#endif  // DUET_NN_ONEDNN_VALUE_LAYOUT_H_
