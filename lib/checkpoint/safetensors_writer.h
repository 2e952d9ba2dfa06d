// Saves weights as safetensors, which ReadCheckpoint and Hugging Face's library read.
#ifndef DUET_CHECKPOINT_SAFETENSORS_WRITER_H_
#define DUET_CHECKPOINT_SAFETENSORS_WRITER_H_

#include <absl/status/status.h>

#include <string>

#include "checkpoint/checkpoint.h"

namespace checkpoint {

// Meta goes to `__metadata__` (see safetensors_reader.h); empty fields are left out. Larger element
// types come first, so that all tensors are aligned. Like WritePth, it replaces the
// file only when it is complete. InvalidArgument for a name given twice.
absl::Status WriteSafetensors(const std::string& path, const StateDict& state_dict,
                              const Meta& meta);

}  // namespace checkpoint

#endif  // DUET_CHECKPOINT_SAFETENSORS_WRITER_H_
