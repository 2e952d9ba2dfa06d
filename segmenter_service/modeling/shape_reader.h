// Reads the sizes of a network from the shapes of a checkpoint's tensors, and says what is wrong
// with them. Knows no Torch.
#ifndef DUET_SEGMENTER_SERVICE_MODELING_SHAPE_READER_H_
#define DUET_SEGMENTER_SERVICE_MODELING_SHAPE_READER_H_

#include <absl/status/status.h>
#include <absl/strings/string_view.h>

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/tensor_index.h"

namespace segmenter {

using Shape = std::vector<std::int64_t>;

// Remembers the first error; after it, shapes that don't fit read as 1. `state_dict` must outlive
// it.
class ShapeReader {
 public:
  explicit ShapeReader(const checkpoint::StateDict& state_dict);

  const checkpoint::TensorIndex& tensors() const { return tensors_; }

  // `dims` says in words what the shape means, one entry a dimension.
  Shape Read(const std::string& name, const std::vector<absl::string_view>& dims);
  // Unless `condition`, the error is that tensor `name` is what it is "but " `needed`.
  void Require(bool condition, absl::string_view name, absl::string_view needed);
  // Shapes may claim any size, and memory would be allocated for what they claim: so `weights`, a
  // lower bound of the network's, must not be more than the file can hold.
  void RequireBacked(std::int64_t weights);

  const absl::Status& status() const { return status_; }

 private:
  const Shape* Find(absl::string_view name) const;
  void SetError(std::string message);

  const checkpoint::StateDict& state_dict_;
  const checkpoint::TensorIndex tensors_;
  absl::Status status_;
};

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_MODELING_SHAPE_READER_H_
