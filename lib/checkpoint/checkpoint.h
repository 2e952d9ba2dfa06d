// Reads a file of weights, in any of the known formats, into named tensors and what mmengine
// recorded about the model.
//
// Formats: PyTorch's zip and legacy .pth, safetensors; told apart by their first bytes
// (docs/formats.md). Files are untrusted: nothing in them is executed, and no allocation is larger
// than the file justifies.
#ifndef DUET_CHECKPOINT_CHECKPOINT_H_
#define DUET_CHECKPOINT_CHECKPOINT_H_

#include <absl/status/statusor.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checkpoint/tensor_view.h"

namespace checkpoint {

// In the file's order; names are unique.
using StateDict = std::vector<std::pair<std::string, TensorView>>;

// Null if there is no such name. Linear: build an index for more than a few look-ups.
const TensorView* Find(const StateDict& state_dict, std::string_view name);

// `meta` of an mmengine or mmdet 2.x checkpoint; every field empty for other files.
struct Meta {
  std::vector<std::string> classes;  // dataset_meta['classes' | 'CLASSES'], or meta['CLASSES']
  std::string config_text;           // meta['cfg']: Python source as mmengine dumps it
  std::string mmengine_version;
};

struct Checkpoint {
  const char* format = "";  // "zip", "legacy" or "safetensors"
  // The dictionary under the key `state_dict`, `model`, `model_state_dict`, `model_state` or `net`,
  // which comes first here, or under several in a row; the file's own dictionary if none of them
  // has tensors; if that has none, the only one that is under any other key. A leading "module." is
  // removed from the names; what other wrappers put before them is there (wrappers.h).
  StateDict state_dict;
  // The keys that state_dict was found under, joined by dots, such as "state_dict" or
  // "model.state_dict"; "" for the file's own.
  std::string wrapper_key;
  Meta meta;
  // Lower-case hex, the same for the same content. For a zip file it is a hash of the directory
  // (names, sizes, CRCs), which is cheap; for other formats, of all bytes.
  std::string content_hash;
};

// InvalidArgument (damaged, truncated, hostile, not a checkpoint), NotFound or PermissionDenied;
// the message starts with the path and says what was found and needed. Maps the file: it may be
// deleted or replaced by renaming afterwards, not truncated in place. Thread-safe.
absl::StatusOr<Checkpoint> ReadCheckpoint(const std::string& path);
// The same for a file that is already open: the path `handle`, such as /proc/self/fd/7, is opened,
// and messages call it `path`.
absl::StatusOr<Checkpoint> ReadCheckpoint(const std::string& path, const std::string& handle);

// The same from memory, which `owner` keeps valid; messages have no path.
absl::StatusOr<Checkpoint> ParseCheckpoint(std::string_view bytes,
                                           std::shared_ptr<const void> owner);

}  // namespace checkpoint

#endif  // DUET_CHECKPOINT_CHECKPOINT_H_
