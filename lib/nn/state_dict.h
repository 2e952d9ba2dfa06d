// Between checkpoint::StateDict (names and byte windows) and torch::nn::Module (parameters and
// buffers).
//
// Modules register their parameters, buffers and children under the names that the upstream
// project's state_dict has, so loading is a match of names; nothing is renamed here. Numbers of any
// floating type become float32.
#ifndef DUET_NN_STATE_DICT_H_
#define DUET_NN_STATE_DICT_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <string>
#include <utility>
#include <vector>

#include "checkpoint/checkpoint.h"

namespace nn {

// Every parameter and buffer of `module` by its full name, in PyTorch's order (a module's own
// parameters, its own buffers, then its children in the order of registration). The tensors are the
// module's own, not copies.
std::vector<std::pair<std::string, at::Tensor>> NamedState(const torch::nn::Module& module);

enum class Memory {
  // The module owns its numbers: they can be trained, and the file can go.
  kCopy,
  // Float32 tensors that lie contiguous and aligned in the file stay there, read-only (writing to
  // them, e.g. by training, kills the process); the others are copied. For inference: costs neither
  // time nor private memory.
  kBorrow,
};

struct LoadOptions {
  Memory memory = Memory::kCopy;
  // Names that begin with one of these may be in the file without being in the module: mmengine
  // writes "data_preprocessor.", the EMA hook of mmdet 2.x "ema_", copies that were not averaged
  // (the averaged weights have the plain names when a file is saved).
  std::vector<std::string> ignored_prefixes;
  // If given, the other names that only the file has are put here, and are no error.
  std::vector<std::string>* extra = nullptr;
};

// Sets every parameter and buffer of `module` from the tensor of the same name. FailedPrecondition,
// with the module unchanged, if names are missing or unexpected or shapes differ; the message lists
// them (the first few of each kind, and how many). A missing num_batches_tracked is no error: it
// stays as it is, or 0.
absl::Status LoadStateDict(const checkpoint::StateDict& state_dict, torch::nn::Module& module,
                           const LoadOptions& options = {});

// The module's state as it would be saved, in PyTorch's order. Views share memory with the module's
// tensors and keep them alive; what changes there shows here. Parameters known under several names
// have equal `data`.
checkpoint::StateDict ToStateDict(const torch::nn::Module& module);

// One tensor. ToTensor converts floating types to float32 and keeps integers.
at::Tensor ToTensor(const checkpoint::TensorView& view, Memory memory = Memory::kCopy);
// InvalidArgument if the tensor is on another device than the CPU or of a type that checkpoints
// don't have.
absl::StatusOr<checkpoint::TensorView> ToTensorView(const at::Tensor& tensor);

// "[1x64x64x768]"
std::string ShapeString(const std::vector<std::int64_t>& shape);

}  // namespace nn

#endif  // DUET_NN_STATE_DICT_H_
