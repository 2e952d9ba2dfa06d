#include "nn/onednn/value_layout.h"

#include <ATen/Functions.h>

#include <algorithm>
#include <cstdint>

#include "nn/onednn/engine.h"

namespace nn::onednn {

using dnnl::memory;

int Channels::padded() const {
  int sum = 0;
  for (const Part& part : parts) sum += part.padded;
  return sum;
}

at::Tensor Widen(const at::Tensor& tensor, int dim, const Channels& channels) {
  std::vector<at::Tensor> pieces;
  std::int64_t start = 0;
  for (const auto& part : channels.parts) {
    pieces.push_back(tensor.narrow(dim, start, part.count));
    start += part.count;
    if (part.padded > part.count) {
      auto shape = tensor.sizes().vec();
      shape[dim] = part.padded - part.count;
      pieces.push_back(at::zeros(shape, tensor.options()));
    }
  }
  return at::cat(pieces, dim).contiguous();
}

ValueLayout::ValueLayout(const std::vector<GraphNode>& nodes, const std::vector<int>& outputs,
                         Precision precision, Layout layout, int block)
    : nodes_(nodes),
      precision_(precision),
      layout_(layout),
      block_(block),
      element_bytes_(precision == Precision::kBFloat16 ? 2 : 4) {
  LayOutChannels();
  std::vector<BufferLife> lives = PlaceValues();
  SetLives(outputs, &lives);
  if (copies_input()) {
    input_copy_buffer_ = lives.size();
    lives.push_back(InputCopyLife());
  }
  plan_ = PlanArena(lives);
}

BlockedShape ValueLayout::shape(int value) const {
  const GraphNode& node = nodes_[value];
  const int channels = channels_[value].padded();
  const int block = layout_ == Layout::kChannelsLast ? channels : block_;
  return {channels / block, node.height, node.width, block};
}

memory::desc ValueLayout::Describe(int value, int channels) const {
  const GraphNode& node = nodes_[value];
  const memory::dims dims = {1, channels, node.height, node.width};
  const memory::data_type type = DataTypeOf(precision_);
  if (layout_ == Layout::kBlocked) return {dims, type, format()};
  const std::int64_t pixel = channels_[value].padded(), row = pixel * node.width;
  return {dims, type, memory::dims{row * node.height, 1, row, pixel}};
}

memory::format_tag ValueLayout::format() const {
  if (layout_ == Layout::kChannelsLast) return memory::format_tag::nhwc;
  return block_ == 16 ? memory::format_tag::nChw16c : memory::format_tag::nChw8c;
}

memory::format_tag ValueLayout::input_format() const {
  return layout_ == Layout::kChannelsLast ? memory::format_tag::nhwc : memory::format_tag::nchw;
}

std::size_t ValueLayout::bytes(int value) const {
  const GraphNode& node = nodes_[value];
  return static_cast<std::size_t>(channels_[value].padded()) * node.height * node.width *
         element_bytes_;
}

std::size_t ValueLayout::offset(int value) const {
  const GraphNode& node = nodes_[value];
  const Place& place = places_[value];
  return plan_.offsets[place.buffer] +
         static_cast<std::size_t>(place.channel) * node.height * node.width * element_bytes_;
}

void ValueLayout::LayOutChannels() {
  channels_.resize(nodes_.size());
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const GraphNode& node = nodes_[i];
    switch (node.operation) {
      case Operation::kInput:
        channels_[i].parts = {{node.channels, node.channels}};
        break;
      case Operation::kConv:
        if (node.conv.groups == 1) {
          channels_[i].parts = {{node.channels, (node.channels + block_ - 1) / block_ * block_}};
          break;
        }
        [[fallthrough]];
      case Operation::kMaxPool:
      case Operation::kUpsample2x:
      case Operation::kUpsampleBilinear:
      case Operation::kChannelGate:
      case Operation::kInterleave2x:
        channels_[i] = channels_[node.inputs[0]];
        break;
      case Operation::kConcat:
        for (const int input : node.inputs) {
          const auto& parts = channels_[input].parts;
          channels_[i].parts.insert(channels_[i].parts.end(), parts.begin(), parts.end());
        }
        break;
    }
  }
}

// Backwards, so that a concatenation has its buffer before the values that are written into it.
std::vector<BufferLife> ValueLayout::PlaceValues() {
  places_.resize(nodes_.size());
  std::vector<int> uses(nodes_.size(), 0);
  for (const GraphNode& node : nodes_) {
    for (const int input : node.inputs) ++uses[input];
  }
  std::vector<BufferLife> lives;
  for (int i = static_cast<int>(nodes_.size()) - 1; i >= 0; --i) {
    const GraphNode& node = nodes_[i];
    if (node.operation == Operation::kInput) continue;
    if (places_[i].buffer < 0) {
      places_[i].buffer = static_cast<int>(lives.size());
      lives.push_back({bytes(i), i, i});
    }
    if (node.operation == Operation::kConcat && layout_ == Layout::kBlocked) {
      int channel = places_[i].channel;
      for (const int input : node.inputs) {
        if (places_[input].buffer < 0) places_[input] = {places_[i].buffer, channel};
        channel += channels_[input].padded();
      }
    } else if (node.operation == Operation::kChannelGate && uses[node.inputs[0]] == 1 &&
               places_[node.inputs[0]].buffer < 0) {
      places_[node.inputs[0]] = places_[i];  // scaled in place
    }
  }
  return lives;
}

void ValueLayout::SetLives(const std::vector<int>& outputs, std::vector<BufferLife>* lives) const {
  const auto touch = [&](int value, int step) {
    BufferLife& life = (*lives)[places_[value].buffer];
    life.first = std::min(life.first, step);
    life.last = std::max(life.last, step);
  };
  const int end = static_cast<int>(nodes_.size());
  for (int i = 0; i < end; ++i) {
    if (nodes_[i].operation == Operation::kInput) continue;
    touch(i, i);
    for (const int input : nodes_[i].inputs) {
      if (nodes_[input].operation != Operation::kInput) touch(input, i);
    }
  }
  for (const int i : outputs) touch(i, end);
}

// The first convolutions alone read it.
BufferLife ValueLayout::InputCopyLife() const {
  int last = 0;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    for (const int input : nodes_[i].inputs) {
      if (nodes_[input].operation == Operation::kInput) last = static_cast<int>(i);
    }
  }
  const GraphNode& input = nodes_.front();
  return {element_bytes_ * input.channels * input.height * input.width, 0, last};
}

}  // namespace nn::onednn
