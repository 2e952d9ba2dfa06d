// Hugging Face's safetensors: a JSON header with names, types and byte ranges, then the tensors'
// bytes, contiguous.
#ifndef DUET_CHECKPOINT_SAFETENSORS_READER_H_
#define DUET_CHECKPOINT_SAFETENSORS_READER_H_

#include <absl/status/statusor.h>

#include <memory>
#include <string_view>

#include "checkpoint/checkpoint.h"

namespace checkpoint {

bool LooksLikeSafetensors(std::string_view file);

// `owner` keeps the memory of `file` valid and is handed to every tensor. Tensors come in the order
// of their bytes. Meta comes from `__metadata__`: "classes" (a JSON array of strings, or lines),
// "config" and "mmengine_version". `content_hash` is not filled in. InvalidArgument, without the
// file's path; for tensors that overlap or leave holes too, as the format's specification demands
// (which also catches names given twice).
absl::StatusOr<Checkpoint> ReadSafetensors(std::string_view file,
                                           std::shared_ptr<const void> owner);

}  // namespace checkpoint

#endif  // DUET_CHECKPOINT_SAFETENSORS_READER_H_
