#include "checkpoint/checkpoint.h"

#include <absl/status/status.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "checkpoint/content_hash.h"
#include "checkpoint/pth_reader.h"
#include "checkpoint/safetensors_reader.h"
#include "checkpoint/zip_reader.h"
#include "files/mapped_file.h"
#include "text/str_cat.h"

namespace checkpoint {
namespace {

using text::StrCat;

struct Format {
  const char* name;
  bool (*looks_like)(std::string_view bytes);
  absl::StatusOr<Checkpoint> (*read)(std::string_view bytes, std::shared_ptr<const void> owner);
};

constexpr Format kFormats[] = {
    {"zip", LooksLikeZip, ReadZipPth},
    {"legacy", LooksLikeLegacyPth, ReadLegacyPth},
    {"safetensors", LooksLikeSafetensors, ReadSafetensors},
};

absl::Status UnknownFormat(std::string_view bytes) {
  constexpr std::string_view kNeeded = "a .pth of torch.save or a safetensors file is needed";
  if (bytes.starts_with('<') || bytes.starts_with("\n<")) {
    return absl::InvalidArgumentError(
        StrCat("begins like a web page, not like a checkpoint (", kNeeded, ")"));
  }
  if (bytes.starts_with("version https://git-lfs")) {
    return absl::InvalidArgumentError(
        StrCat("is a Git LFS pointer, not the file itself (", kNeeded, ")"));
  }
  if (bytes.size() > 262 && bytes.substr(257, 5) == "ustar") {
    return absl::InvalidArgumentError(StrCat("is a tar archive, as PyTorch wrote before 0.4 (",
                                             kNeeded, "; load and save it again)"));
  }
  if (bytes.starts_with("\x80")) {
    return absl::InvalidArgumentError(
        StrCat("is a Python pickle, but not one of torch.save (", kNeeded, ")"));
  }
  return absl::InvalidArgumentError(StrCat("is not a checkpoint (", kNeeded, ")"));
}

std::string Hash(std::string_view bytes) {
  if (LooksLikeZip(bytes)) {
    if (const auto entries = ReadZipDirectory(bytes); entries.ok()) return HashZip(bytes, *entries);
  }
  return HashBytes(bytes);
}

}  // namespace

const TensorView* Find(const StateDict& state_dict, std::string_view name) {
  const auto found = std::find_if(state_dict.begin(), state_dict.end(),
                                  [name](const auto& entry) { return entry.first == name; });
  return found == state_dict.end() ? nullptr : &found->second;
}

absl::StatusOr<Checkpoint> ParseCheckpoint(std::string_view bytes,
                                           std::shared_ptr<const void> owner) {
  const Format* format = std::find_if(std::begin(kFormats), std::end(kFormats),
                                      [bytes](const Format& f) { return f.looks_like(bytes); });
  if (format == std::end(kFormats)) return UnknownFormat(bytes);
  absl::StatusOr<Checkpoint> checkpoint = format->read(bytes, std::move(owner));
  if (!checkpoint.ok()) return checkpoint;
  checkpoint->format = format->name;
  checkpoint->content_hash = Hash(bytes);
  return checkpoint;
}

absl::StatusOr<Checkpoint> ReadCheckpoint(const std::string& path) {
  return ReadCheckpoint(path, path);
}

absl::StatusOr<Checkpoint> ReadCheckpoint(const std::string& path, const std::string& handle) {
  absl::StatusOr<std::shared_ptr<const files::MappedFile>> file =
      files::MappedFile::Open(handle, path);
  if (!file.ok()) return file.status();
  absl::StatusOr<Checkpoint> checkpoint = ParseCheckpoint((*file)->bytes(), *file);
  if (!checkpoint.ok()) {
    return absl::Status(checkpoint.status().code(),
                        StrCat(path, ": ", checkpoint.status().message()));
  }
  return checkpoint;
}

}  // namespace checkpoint
