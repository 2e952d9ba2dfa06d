// A part of a run that a process does by itself: shard I of N of a prepared manifest.
#ifndef DUET_BULK_SHARD_H_
#define DUET_BULK_SHARD_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace bulk {

struct Shard {
  std::uint64_t index = 0;  // from 0
  std::uint64_t count = 1;

  // Whether there can be such a shard: there are a million at most.
  bool valid() const;
};

// "3/8", the fourth of eight; or "job/8", which takes the number from `job_index`, what Kubernetes
// gives each Pod of an Indexed Job as JOB_COMPLETION_INDEX; null: there is none. InvalidArgument,
// one sentence.
absl::StatusOr<Shard> ParseShard(std::string_view text, const char* job_index);

// "3/8".
std::string ShardText(const Shard& shard);

// What the file or object of its results is called: "00003-of-00008.shard", so that names stand in
// the shards' order.
std::string ShardFileName(const Shard& shard);
inline constexpr std::string_view kShardEnding = ".shard";

}  // namespace bulk

#endif  // DUET_BULK_SHARD_H_
