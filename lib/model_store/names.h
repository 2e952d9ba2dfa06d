// What models below the model root are called: a kind, a name, and a version's number.
#ifndef DUET_MODEL_STORE_NAMES_H_
#define DUET_MODEL_STORE_NAMES_H_

#include <absl/status/status.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace model_store {

enum class Kind { kDetector, kSegmenter };

// "detector" or "segmenter": the folder below the model root, and what a manifest says.
std::string_view NameOf(Kind kind);
std::optional<Kind> ParseKind(std::string_view text);

// The model that a process was started with. It has no folder.
inline constexpr std::string_view kDefaultName = "default";

// OK for a name that may have a folder: [a-z0-9][a-z0-9._-]{0,63}, and not "default". Otherwise
// InvalidArgument, which quotes the beginning of `name`. No such name leads out of the model root.
absl::Status CheckName(std::string_view name);

// The models of a project of the operator's Label Studio: "project-7".
std::string ProjectName(std::uint64_t project_id);
// The other way: 7 of "project-7"; nothing for any other name.
std::optional<std::uint64_t> ProjectOf(std::string_view name);

// A version's number as its folder has it: "1" to "18446744073709551615", no zeros before it.
std::optional<std::uint64_t> ParseVersion(std::string_view text);

// Whether `name` is one part of a path: not empty, "." or "..", without '/' and zero bytes.
bool IsFileName(std::string_view name);

}  // namespace model_store

#endif  // DUET_MODEL_STORE_NAMES_H_
