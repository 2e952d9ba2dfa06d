// Saves weights as a zip .pth that torch.load (weights_only too), mmengine and MMDetection read,
// and ReadCheckpoint.
#ifndef DUET_CHECKPOINT_PTH_WRITER_H_
#define DUET_CHECKPOINT_PTH_WRITER_H_

#include <absl/status/status.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"

namespace checkpoint {

// What a training records besides Meta, for mmengine and mmdet; ReadCheckpoint passes over it.
struct TrainingMeta {
  std::vector<std::array<int, 3>> palette;  // dataset_meta['palette']: RGB, one a class
  std::int64_t epoch = 0;                   // meta['epoch']: how many are done
  std::int64_t iter = 0;                    // meta['iter']: how many steps are done
};

// With `meta`: {'meta': {'dataset_meta': {'classes': …}, 'cfg': …, 'mmengine_version': …},
// 'state_dict': …}, as mmengine's Runner writes; empty fields are left out, and `training` adds its
// own. Without: the bare state_dict, as Segment Anything's files are. Tensors with the same bytes
// in memory share them in the file; strided ones become contiguous.
//
// The file appears under its name only when it is complete and durable. The same arguments give the
// same bytes. InvalidArgument for a name given twice or more than 4 GiB; otherwise the system's
// error, with the path.
absl::Status WritePth(const std::string& path, const StateDict& state_dict,
                      const std::optional<Meta>& meta,
                      const std::optional<TrainingMeta>& training = std::nullopt);

// The same for {key: state_dict}: sam2 reads the weights under 'model'.
absl::Status WriteWrappedPth(const std::string& path, const std::string& key,
                             const StateDict& state_dict);

}  // namespace checkpoint

#endif  // DUET_CHECKPOINT_PTH_WRITER_H_
