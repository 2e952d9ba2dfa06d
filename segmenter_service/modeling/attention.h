// Scaled dot-product attention in parts, so that the scores of a large grid never exist all at
// once.
#ifndef DUET_SEGMENTER_SERVICE_MODELING_ATTENTION_H_
#define DUET_SEGMENTER_SERVICE_MODELING_ATTENTION_H_

#include <ATen/core/Tensor.h>

namespace segmenter {

// softmax(q · kᵀ / sqrt(d)) · v; q [items, queries, d], k and v [items, keys, d]. With autograd in
// one part.
at::Tensor Attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_MODELING_ATTENTION_H_
