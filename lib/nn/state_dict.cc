#include "nn/state_dict.h"

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/string_view.h>

#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>

#include "nn/torch_status.h"

namespace nn {
namespace {

constexpr absl::string_view kBatchCounter = "num_batches_tracked";

at::ScalarType ScalarTypeOf(checkpoint::DType dtype) {
  switch (dtype) {
    case checkpoint::DType::kFloat32:
      return at::kFloat;
    case checkpoint::DType::kFloat64:
      return at::kDouble;
    case checkpoint::DType::kFloat16:
      return at::kHalf;
    case checkpoint::DType::kBFloat16:
      return at::kBFloat16;
    case checkpoint::DType::kInt64:
      return at::kLong;
    case checkpoint::DType::kInt32:
      return at::kInt;
    case checkpoint::DType::kInt16:
      return at::kShort;
    case checkpoint::DType::kInt8:
      return at::kChar;
    case checkpoint::DType::kUInt8:
      return at::kByte;
    case checkpoint::DType::kBool:
      return at::kBool;
  }
  return at::kFloat;
}

std::optional<checkpoint::DType> DTypeOf(at::ScalarType type) {
  for (auto dtype :
       {checkpoint::DType::kFloat32, checkpoint::DType::kFloat64, checkpoint::DType::kFloat16,
        checkpoint::DType::kBFloat16, checkpoint::DType::kInt64, checkpoint::DType::kInt32,
        checkpoint::DType::kInt16, checkpoint::DType::kInt8, checkpoint::DType::kUInt8,
        checkpoint::DType::kBool}) {
    if (ScalarTypeOf(dtype) == type) return dtype;
  }
  return std::nullopt;
}

bool IsAligned(const checkpoint::TensorView& view) {
  return reinterpret_cast<std::uintptr_t>(view.data) % checkpoint::SizeOf(view.dtype) == 0;
}

// Copies a window that may start at any byte; Torch's own copy wants aligned elements.
at::Tensor CopyElements(const checkpoint::TensorView& view) {
  at::Tensor copy = at::empty(view.shape, ScalarTypeOf(view.dtype));
  const std::size_t size = checkpoint::SizeOf(view.dtype);
  auto* out = static_cast<std::byte*>(copy.data_ptr());
  const std::int64_t count = copy.numel();
  if (count == 0) return copy;
  if (view.IsContiguous()) {
    std::memcpy(out, view.data, count * size);
    return copy;
  }
  const std::size_t dims = view.shape.size();
  std::vector<std::int64_t> index(dims, 0);
  std::int64_t offset = 0;  // in elements
  for (std::int64_t i = 0; i < count; ++i) {
    std::memcpy(out + i * size, view.data + offset * static_cast<std::int64_t>(size), size);
    for (std::size_t d = dims; d-- > 0;) {
      offset += view.strides[d];
      if (++index[d] < view.shape[d]) break;
      offset -= view.strides[d] * view.shape[d];
      index[d] = 0;
    }
  }
  return copy;
}

void AppendState(const torch::nn::Module& module, const std::string& prefix,
                 std::vector<std::pair<std::string, at::Tensor>>& state) {
  for (const auto& item : module.named_parameters(/*recurse=*/false)) {
    state.emplace_back(prefix + item.key(), item.value());
  }
  for (const auto& item : module.named_buffers(/*recurse=*/false)) {
    state.emplace_back(prefix + item.key(), item.value());
  }
  for (const auto& child : module.named_children()) {
    AppendState(*child.value(), absl::StrCat(prefix, child.key(), "."), state);
  }
}

// "3 missing: a, b, c"; at most five are named.
std::string Listing(absl::string_view kind, const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 5;
  const auto end = names.begin() + std::min(names.size(), kShown);
  return absl::StrCat(names.size(), " ", kind, ": ", absl::StrJoin(names.begin(), end, ", "),
                      names.size() > kShown ? ", ..." : "");
}

}  // namespace

std::string ShapeString(const std::vector<std::int64_t>& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, "x"), "]");
}

std::vector<std::pair<std::string, at::Tensor>> NamedState(const torch::nn::Module& module) {
  std::vector<std::pair<std::string, at::Tensor>> state;
  AppendState(module, "", state);
  return state;
}

at::Tensor ToTensor(const checkpoint::TensorView& view, Memory memory) {
  const bool is_float32 = view.dtype == checkpoint::DType::kFloat32;
  if (memory == Memory::kBorrow && is_float32 && view.IsContiguous() && IsAligned(view)) {
    return torch::from_blob(
        const_cast<std::byte*>(view.data), view.shape, [owner = view.owner](void*) {},
        at::TensorOptions(at::kFloat));
  }
  at::Tensor copy = CopyElements(view);
  return copy.is_floating_point() && !is_float32 ? copy.to(at::kFloat) : copy;
}

absl::StatusOr<checkpoint::TensorView> ToTensorView(const at::Tensor& tensor) {
  const std::optional<checkpoint::DType> dtype = DTypeOf(tensor.scalar_type());
  if (!tensor.device().is_cpu() || !dtype) {
    return absl::InvalidArgumentError(absl::StrCat("a tensor of type ",
                                                   c10::toString(tensor.scalar_type()), " on ",
                                                   tensor.device().str(), " cannot be saved"));
  }
  checkpoint::TensorView view;
  view.dtype = *dtype;
  view.shape = tensor.sizes().vec();
  view.strides = tensor.strides().vec();
  view.data = static_cast<const std::byte*>(tensor.data_ptr());
  view.owner = std::make_shared<at::Tensor>(tensor.detach());
  return view;
}

absl::Status LoadStateDict(const checkpoint::StateDict& state_dict, torch::nn::Module& module,
                           const LoadOptions& options) {
  absl::flat_hash_map<absl::string_view, const checkpoint::TensorView*> file;
  for (const auto& [name, view] : state_dict) file.emplace(name, &view);

  std::vector<std::string> missing;
  std::vector<std::string> misshapen;
  std::vector<std::string> unexpected;
  std::vector<std::pair<at::Tensor, const checkpoint::TensorView*>> matches;
  absl::flat_hash_set<std::string> known;
  for (const auto& [name, tensor] : NamedState(module)) {
    known.insert(name);
    const auto found = file.find(name);
    if (found == file.end()) {
      if (!absl::EndsWith(name, kBatchCounter)) missing.push_back(name);
    } else if (found->second->shape != tensor.sizes().vec()) {
      misshapen.push_back(absl::StrCat("'", name, "' is ", ShapeString(found->second->shape),
                                       " but needs ", ShapeString(tensor.sizes().vec())));
    } else {
      matches.emplace_back(tensor, found->second);
    }
  }
  for (const auto& [name, view] : state_dict) {
    const bool ignored =
        std::any_of(options.ignored_prefixes.begin(), options.ignored_prefixes.end(),
                    [&](const std::string& prefix) { return absl::StartsWith(name, prefix); });
    if (!ignored && !known.contains(name)) unexpected.push_back(name);
  }
  if (options.extra != nullptr) *options.extra = std::exchange(unexpected, {});
  std::vector<std::string> report;
  if (!missing.empty()) report.push_back(Listing("missing", missing));
  if (!unexpected.empty()) report.push_back(Listing("unexpected", unexpected));
  if (!misshapen.empty()) report.push_back(Listing("misshapen", misshapen));
  if (!report.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the weights do not fit the model: ", absl::StrJoin(report, "; ")));
  }

  return CatchTorch("load weights", [&] {
    torch::NoGradGuard no_grad;
    for (auto& [tensor, view] : matches) {
      if (options.memory == Memory::kBorrow && tensor.scalar_type() == at::kFloat) {
        tensor.set_data(ToTensor(*view, Memory::kBorrow));
      } else {
        tensor.copy_(ToTensor(*view, Memory::kCopy));
      }
    }
  });
}

checkpoint::StateDict ToStateDict(const torch::nn::Module& module) {
  checkpoint::StateDict state_dict;
  for (const auto& [name, tensor] : NamedState(module)) {
    auto view = ToTensorView(tensor.cpu());
    if (view.ok()) state_dict.emplace_back(name, *std::move(view));
  }
  return state_dict;
}

}  // namespace nn
