// What wrappers put before the names of a network's tensors. Who saves a network out of a training
// class (self.model = sam), out of DistributedDataParallel ("module.") or out of torch.compile
// ("_orig_mod.") has their names before its own, in any order and number.
#ifndef DUET_CHECKPOINT_WRAPPERS_H_
#define DUET_CHECKPOINT_WRAPPERS_H_

#include <absl/status/statusor.h>

#include <span>
#include <string>
#include <string_view>

#include "checkpoint/checkpoint.h"

namespace checkpoint {

// Renames the tensors of `state_dict` to what they are called in the network itself, whose tensors
// are known by one of `anchors`: a part's name without dots ("image_encoder"), which begins names.
// Whatever precedes it, if it does so in one way only, is removed from all names that begin with
// it, unless two would be called the same; names that don't begin with it stay. Within names the
// components of torch.compile, FSDP and activation checkpointing are removed, and those of
// DistributedDataParallel ("module").
//
// Returns what was removed ("model.sam."), "" if nothing precedes an anchor or none is there; the
// caller says then what is missing. InvalidArgument if several networks are there ("student.",
// "teacher.") and none without a prefix: which one is meant cannot be known.
absl::StatusOr<std::string> RemoveWrappers(std::span<const std::string_view> anchors,
                                           StateDict* state_dict);

}  // namespace checkpoint

#endif  // DUET_CHECKPOINT_WRAPPERS_H_
