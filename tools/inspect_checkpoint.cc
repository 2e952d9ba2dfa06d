// Prints what Duet reads in a checkpoint: where the weights were, what mmengine noted, and every
// tensor.
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include <algorithm>
#include <iostream>

#include "checkpoint/checkpoint.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: duet-inspect-checkpoint FILE\n";
    return 2;
  }
  const absl::StatusOr<checkpoint::Checkpoint> file = checkpoint::ReadCheckpoint(argv[1]);
  if (!file.ok()) {
    std::cerr << file.status().message() << "\n";
    return 1;
  }
  std::int64_t elements = 0;
  for (const auto& [name, tensor] : file->state_dict) elements += tensor.NumElements();
  const checkpoint::Meta& meta = file->meta;
  std::cout << "format            " << file->format << "\n"
            << "content hash      " << file->content_hash << "\n"
            << "state_dict under  " << (file->wrapper_key.empty() ? "(bare)" : file->wrapper_key)
            << "\n"
            << "tensors           " << file->state_dict.size() << ", " << elements << " elements\n"
            << "mmengine          "
            << (meta.mmengine_version.empty() ? "(none)" : meta.mmengine_version) << "\n"
            << "config            " << meta.config_text.size() << " bytes\n"
            << "classes           " << meta.classes.size();
  if (!meta.classes.empty()) std::cout << ": " << absl::StrJoin(meta.classes, ", ");
  std::cout << "\n\n";
  for (const auto& [name, tensor] : file->state_dict) {
    std::cout << name << "  " << checkpoint::NameOf(tensor.dtype) << "  ["
              << absl::StrJoin(tensor.shape, ", ") << "]"
              << (tensor.IsContiguous() ? "" : "  strided") << "\n";
  }
}
