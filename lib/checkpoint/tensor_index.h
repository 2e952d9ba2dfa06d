// The names and shapes in a state dict, for finding out which network it is of and how large.
#ifndef DUET_CHECKPOINT_TENSOR_INDEX_H_
#define DUET_CHECKPOINT_TENSOR_INDEX_H_

#include <cstdint>
#include <map>
#include <string_view>

#include "checkpoint/checkpoint.h"

namespace checkpoint {

// Immutable. Points into `state_dict`, which must outlive it.
class TensorIndex {
 public:
  explicit TensorIndex(const StateDict& state_dict);

  // Null if there is no such name.
  const TensorView* Find(std::string_view name) const;
  bool Has(std::string_view name) const { return Find(name) != nullptr; }
  // Whether a name begins with `prefix`.
  bool HasPrefix(std::string_view prefix) const;

  // How many of <prefix>0<suffix>, <prefix>1<suffix>, … there are without a gap.
  int Count(std::string_view prefix, std::string_view suffix) const;
  // How many of <prefix>0., <prefix>1., … are beginnings of names, without a gap.
  int Count(std::string_view prefix) const;
  // 1 + the largest N of the names "<prefix>N.…", with or without gaps; 0 if there are none. An N
  // that is larger than the number of tensors does not count.
  std::int64_t CountIndexed(std::string_view prefix) const;

  // Output channels of the convolution whose weight is `conv`.weight; 0 if there is none, or if no
  // network has so many.
  int OutChannels(std::string_view conv) const;

 private:
  std::map<std::string_view, const TensorView*> by_name_;
};

}  // namespace checkpoint

#endif  // DUET_CHECKPOINT_TENSOR_INDEX_H_
