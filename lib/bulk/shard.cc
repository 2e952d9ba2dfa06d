#include "bulk/shard.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>

#include "text/str_cat.h"

namespace bulk {
namespace {

using text::StrCat;

constexpr std::uint64_t kMaxShards = 1'000'000;

}  // namespace

bool Shard::valid() const { return count > 0 && count <= kMaxShards && index < count; }

absl::StatusOr<Shard> ParseShard(std::string_view text, const char* job_index) {
  const auto slash = text.find('/');
  std::string_view index = text.substr(0, slash);
  const bool of_job = index == "job";
  if (of_job && job_index == nullptr) {
    return absl::InvalidArgumentError(StrCat(
        "--shard=", text, ": JOB_COMPLETION_INDEX isn't set; needed: a Pod of an Indexed Job, ",
        "or the number itself, as --shard=3/8"));
  }
  if (of_job) index = job_index;
  Shard shard;
  if (slash == std::string_view::npos || !absl::SimpleAtoi(text::View(index), &shard.index) ||
      !absl::SimpleAtoi(text::View(text.substr(slash + 1)), &shard.count) || !shard.valid()) {
    return absl::InvalidArgumentError(
        StrCat("--shard=", text, of_job ? StrCat(" with JOB_COMPLETION_INDEX=", index) : "",
               ": needed: I/N with I from 0 to N-1, or job/N, and N at most ", kMaxShards));
  }
  return shard;
}

std::string ShardText(const Shard& shard) { return StrCat(shard.index, "/", shard.count); }

std::string ShardFileName(const Shard& shard) {
  return StrCat(absl::StrFormat("%05d-of-%05d", shard.index, shard.count), kShardEnding);
}

}  // namespace bulk
