#include "bulk/shard_result.h"

#include <absl/strings/str_format.h>

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <utility>

#include "bulk/item.h"
#include "files/atomic_file.h"
#include "hash/fnv.h"
#include "text/str_cat.h"

namespace bulk {
namespace {

namespace json = boost::json;
using duet::bulk::v1::Record;
using text::StrCat;

constexpr int kFormat = 1;
constexpr std::uint64_t kBlockBytes = std::uint64_t{1} << 20;
constexpr std::uint64_t kHeadBlockBytes = std::uint64_t{16} << 10;  // most first lines are shorter
constexpr std::uint64_t kMaxHeadBytes = std::uint64_t{64} << 20;

std::string Hex(std::uint64_t checksum) { return absl::StrFormat("%016x", checksum); }

absl::Status ForEachBlock(StoredObject& object, std::uint64_t begin, std::uint64_t end,
                          absl::FunctionRef<void(std::string_view)> on_block) {
  ObjectStream bytes(object, begin, end);
  while (bytes.offset() < end) {
    const auto block = bytes.Take(std::min(kBlockBytes, end - bytes.offset()));
    if (!block.ok()) return block.status();
    on_block(*block);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ChecksumOf(StoredObject& object) {
  std::uint64_t checksum = hash::kFnv1aStart;
  const absl::Status status = ForEachBlock(object, 0, object.size(), [&](std::string_view bytes) {
    checksum = hash::Fnv1a(bytes, checksum);
  });
  if (!status.ok()) return status;
  return Hex(checksum);
}

absl::Status Damaged(const std::string& address, std::string_view why) {
  return absl::DataLossError(StrCat(Shown(address), ": ", why, "; needed: the whole result of a ",
                                    "shard; delete it and do that shard again"));
}

}  // namespace

absl::Status WriteShardResult(const Results& results, const OutputOptions& options,
                              dataset::Findings*) {
  const ShardIdentity& identity = *options.shard;
  const auto manifest = StoredObject::Open(results.folder.manifest(), nullptr);
  if (!manifest.ok()) return manifest.status();
  const auto journal = StoredObject::Open(results.folder.path() + "/journal", nullptr);
  if (!journal.ok()) return journal.status();
  const absl::StatusOr<std::string> manifest_checksum = ChecksumOf(**manifest);
  if (!manifest_checksum.ok()) return manifest_checksum.status();
  const absl::StatusOr<std::string> journal_checksum = ChecksumOf(**journal);
  if (!journal_checksum.ok()) return journal_checksum.status();
  json::object failures;
  for (const auto& [kind, count] : results.totals.failures) failures[kind] = count;
  const json::object first = {{"format", kFormat},
                              {"manifest", identity.manifest},
                              {"source", identity.source},
                              {"manifest_images", identity.manifest_images},
                              {"shard", identity.shard.index},
                              {"shards", identity.shard.count},
                              {"images", results.totals.images},
                              {"objects", results.totals.objects},
                              {"failures", std::move(failures)},
                              {"manifest_bytes", (*manifest)->size()},
                              {"manifest_checksum", *manifest_checksum},
                              {"journal_bytes", (*journal)->size()},
                              {"journal_checksum", *journal_checksum},
                              {"head", ToJson(results.head)}};
  absl::StatusOr<files::AtomicFile> file = files::AtomicFile::Create(options.out);
  if (!file.ok()) return file.status();
  file->Append(json::serialize(first) + "\n");
  for (StoredObject* const part : {manifest->get(), journal->get()}) {
    const absl::Status status =
        ForEachBlock(*part, 0, part->size(), [&](std::string_view bytes) { file->Append(bytes); });
    if (!status.ok()) return status;
  }
  return file->Commit();
}

absl::StatusOr<ShardResult> ShardResult::Open(const std::string& address,
                                              std::shared_ptr<http_client::Network> network) {
  auto object = StoredObject::Open(address, std::move(network));
  if (!object.ok()) return object.status();
  ShardResult result;
  result.object_ = *std::move(object);
  const std::uint64_t size = result.object_->size();
  ObjectStream lines(*result.object_, 0, std::min(size, kMaxHeadBytes), kHeadBlockBytes);
  const absl::StatusOr<std::string_view> line = lines.Line();
  if (absl::IsDataLoss(line.status())) return Damaged(address, "its first line is missing");
  if (!line.ok()) return line.status();
  try {
    json::parse_options options;
    options.allow_invalid_utf8 = true;  // paths are bytes
    const json::value value = json::parse(*line, {}, options);
    const json::object& first = value.as_object();
    if (first.at("format").to_number<int>() != kFormat) {
      return Damaged(address, "it is of another release of Duet");
    }
    const auto number = [&](std::string_view name) {
      return first.at(name).to_number<std::uint64_t>();
    };
    result.identity_ = {.manifest = std::string(first.at("manifest").as_string()),
                        .source = std::string(first.at("source").as_string()),
                        .manifest_images = number("manifest_images"),
                        .shard = {.index = number("shard"), .count = number("shards")}};
    if (!result.identity_.shard.valid()) {
      return Damaged(address, StrCat("it is shard ", ShardText(result.identity_.shard),
                                     ", which there can't be"));
    }
    result.totals_ = {.images = number("images"), .objects = number("objects"), .failures = {}};
    for (const auto& [kind, count] : first.at("failures").as_object()) {
      result.totals_.failures[std::string(kind)] = count.to_number<std::uint64_t>();
    }
    absl::StatusOr<Head> head = HeadFromJson(std::string(first.at("head").as_string()));
    if (!head.ok()) return Damaged(address, text::StdView(head.status().message()));
    result.head_ = *std::move(head);
    result.manifest_checksum_ = std::string(first.at("manifest_checksum").as_string());
    if (const json::value* const checksum = first.if_contains("journal_checksum")) {
      result.journal_checksum_ = std::string(checksum->as_string());
    }
    result.manifest_begin_ = lines.offset();
    const std::uint64_t rest = size - result.manifest_begin_;
    const std::uint64_t manifest_bytes = number("manifest_bytes");
    if (manifest_bytes > rest || number("journal_bytes") != rest - manifest_bytes) {
      return Damaged(address, StrCat("it has ", rest, " bytes behind its first line, instead of ",
                                     manifest_bytes, " and ", number("journal_bytes")));
    }
    result.journal_begin_ = result.manifest_begin_ + manifest_bytes;
  } catch (const std::exception& error) {
    return Damaged(address, StrCat("its first line is none of a shard's result: ", error.what()));
  }
  return result;
}

absl::Status ShardResult::ReadManifest(absl::FunctionRef<void(std::string_view)> on_bytes) const {
  std::uint64_t checksum = hash::kFnv1aStart;
  const absl::Status status =
      ForEachBlock(*object_, manifest_begin_, journal_begin_, [&](std::string_view bytes) {
        checksum = hash::Fnv1a(bytes, checksum);
        on_bytes(bytes);
      });
  if (!status.ok()) return status;
  if (Hex(checksum) != manifest_checksum_) {
    return Damaged(object_->address(), "its list of images is damaged");
  }
  return absl::OkStatus();
}

absl::Status ShardResult::ReadRecords(absl::FunctionRef<absl::Status(Record)> on_record) const {
  ObjectStream bytes(*object_, journal_begin_, object_->size());
  absl::Status failed;
  std::string payload;
  const auto read = [&](char* to, std::size_t count) {
    const absl::StatusOr<std::string_view> taken = bytes.Take(count);
    if (!taken.ok()) failed = taken.status();
    if (taken.ok()) std::memcpy(to, taken->data(), count);
    return taken.ok();
  };
  for (std::uint64_t index = 0; index < totals_.images; ++index) {
    Record record;
    const bool whole = ReadRecord(read, &payload, &record);
    if (!failed.ok() && !absl::IsDataLoss(failed)) return failed;
    if (!whole || record.index() != index) {
      return Damaged(object_->address(), StrCat("it is damaged at image ", index));
    }
    if (absl::Status status = on_record(std::move(record)); !status.ok()) return status;
  }
  if (bytes.offset() != object_->size()) {
    return Damaged(object_->address(), "it goes on behind its last image");
  }
  return absl::OkStatus();
}

}  // namespace bulk
