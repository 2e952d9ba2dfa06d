// The names and shapes in a state dict, for finding out what network it is of.
#ifndef DUET_DETECTOR_SERVICE_MODEL_TENSOR_INDEX_H_
#define DUET_DETECTOR_SERVICE_MODEL_TENSOR_INDEX_H_

#include <map>
#include <string>
#include <string_view>

#include "checkpoint/checkpoint.h"

namespace detector {

// Looks into `state_dict`, which must outlive it.
class TensorIndex {
 public:
  explicit TensorIndex(const checkpoint::StateDict& state_dict);

  // Null if there is no such name.
  const checkpoint::TensorView* Find(std::string_view name) const;
  bool Has(std::string_view name) const { return Find(name) != nullptr; }
  // Whether a name begins with `prefix`.
  bool HasPrefix(std::string_view prefix) const;
  // Output channels of the convolution whose weight is `name`.weight; 0 if it is not there or
  // absurd.
  int OutChannels(std::string_view name) const;
  // How many of prefix0suffix, prefix1suffix, … there are; without suffix: as beginnings of names.
  int Count(std::string_view prefix, std::string_view suffix) const;
  int Count(std::string_view prefix) const;

 private:
  std::map<std::string_view, const checkpoint::TensorView*> by_name_;
};

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_MODEL_TENSOR_INDEX_H_
