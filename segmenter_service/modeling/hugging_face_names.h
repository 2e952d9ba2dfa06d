// Segment Anything as Hugging Face's transformers saves it (SamModel, SamHQModel, Sam2Model): the
// same weights under other names. Knows no Torch.
#ifndef DUET_SEGMENTER_SERVICE_MODELING_HUGGING_FACE_NAMES_H_
#define DUET_SEGMENTER_SERVICE_MODELING_HUGGING_FACE_NAMES_H_

#include "checkpoint/checkpoint.h"

namespace segmenter {

// Whether the names are those of transformers: "vision_encoder.…".
bool HasHuggingFaceNames(const checkpoint::StateDict& state_dict);

// The tensors under the names of the official files, which the rest of this folder knows. What has
// no other name there keeps its own. It reverses the renaming of transformers' conversion scripts
// (convert_sam_to_hf.py, convert_sam_hq_to_hf.py, convert_sam2_to_hf.py):
//
// * The layers of a perceptron are proj_in, layers.0, …, proj_out instead of layers.0, layers.1, ….
// * The matrix of positional encodings is there twice, or once if the file keeps shared tensors
//   once: in the prompt encoder, or outside of it. One of them is taken.
// * SAM 2's four point embeddings are the rows of one tensor.
//
// No tensor is transposed: q, k and v are one matrix in both.
checkpoint::StateDict FromHuggingFaceNames(const checkpoint::StateDict& state_dict);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_MODELING_HUGGING_FACE_NAMES_H_
