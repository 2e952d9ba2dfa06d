// Names the content of a file of weights by a SHA-256 in lower-case hex. It becomes part of the
// model version that every prediction carries.
#ifndef DUET_CHECKPOINT_CONTENT_HASH_H_
#define DUET_CHECKPOINT_CONTENT_HASH_H_

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/zip_reader.h"

namespace checkpoint {

// Hashes all bytes, on several threads: the SHA-256 of the SHA-256s of 8 MiB chunks, which is not
// what `sha256sum` prints.
std::string HashBytes(std::string_view bytes);

// Hashes a zip file by its directory: the names (without their common folder, which torch.save
// names after the file), sizes and CRCs. The payloads are not read, unless the writer left CRCs
// out: then all bytes are hashed.
std::string HashZip(std::string_view file, const std::vector<ZipEntry>& entries);

// Hashes names, types, shapes and values of the tensors for whose names `counts` returns true. The
// file's order and format make no difference. Reads all their bytes, on several threads.
std::string HashTensors(const StateDict& state_dict,
                        const std::function<bool(std::string_view name)>& counts);

}  // namespace checkpoint

#endif  // DUET_CHECKPOINT_CONTENT_HASH_H_
