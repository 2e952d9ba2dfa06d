// A name for a file's content: lower-case hex of a SHA-256, part of the model version that every
// prediction carries.
#ifndef DUET_CHECKPOINT_CONTENT_HASH_H_
#define DUET_CHECKPOINT_CONTENT_HASH_H_

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/zip_reader.h"

namespace checkpoint {

// Of all bytes: the SHA-256 of the SHA-256s of 8 MiB chunks, which several threads compute. Not
// `sha256sum`'s.
std::string HashBytes(std::string_view bytes);

// Of a zip file with this directory: of the names (without their common folder, which is the file's
// name), sizes and CRCs, without reading the payloads; of all bytes if the writer left CRCs out.
std::string HashZip(std::string_view file, const std::vector<ZipEntry>& entries);

// Of the tensors whose names `counts` is true for: names, types, shapes and values, whatever the
// file's order and format. Reads all their bytes, on several threads.
std::string HashTensors(const StateDict& state_dict,
                        const std::function<bool(std::string_view name)>& counts);

}  // namespace checkpoint

#endif  // DUET_CHECKPOINT_CONTENT_HASH_H_
