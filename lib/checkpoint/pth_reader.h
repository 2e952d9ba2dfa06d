// PyTorch's .pth in its two formats: the zip archive (torch 1.6 and later) and the legacy one,
// which OpenMMLab still publishes: five pickles and then the storages' bytes. docs/formats.md has
// the layouts.
//
// Of the pickled object only two things are read: the state_dict, and mmengine's meta. An
// optimizer, message hub or whatever else the file holds stays an inert value (pickle_reader.h).
#ifndef DUET_CHECKPOINT_PTH_READER_H_
#define DUET_CHECKPOINT_PTH_READER_H_

#include <absl/status/statusor.h>

#include <memory>
#include <string_view>

#include "checkpoint/checkpoint.h"

namespace checkpoint {

bool LooksLikeZip(std::string_view file);
bool LooksLikeLegacyPth(std::string_view file);

// `owner` keeps the memory of `file` valid and is handed to every tensor. `content_hash` is not
// filled in. InvalidArgument, without the file's path.
absl::StatusOr<Checkpoint> ReadZipPth(std::string_view file, std::shared_ptr<const void> owner);
absl::StatusOr<Checkpoint> ReadLegacyPth(std::string_view file, std::shared_ptr<const void> owner);

}  // namespace checkpoint

#endif  // DUET_CHECKPOINT_PTH_READER_H_
