#include "bulk/merge.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "bulk/item.h"
#include "bulk/journal.h"
#include "bulk/manifest.h"
#include "bulk/output_check.h"
#include "bulk/patience.h"
#include "bulk/run_folder.h"
#include "bulk/shard_result.h"
#include "files/atomic_file.h"
#include "files/text_file.h"
#include "text/str_cat.h"

namespace bulk {
namespace {

using text::StrCat;

// What is known of a shard that is there, without its results.
struct Part {
  std::string name;
  std::uint64_t images = 0;
  std::string results;  // ShardResult::journal_checksum
};

// For a million shards.
constexpr std::size_t kMaxShardsText = std::size_t{64} << 20;

class Merge {
 public:
  Merge(const MergeOptions& options, const Patience& patience, Reporter& reporter)
      : options_(options), patience_(patience), reporter_(reporter) {}

  // Finds the shards, and whether they are all, and all of one run.
  absl::Status Find();
  // The head of the run that they are parts of.
  const Head& head() const { return *head_; }

  // Which results these are: a line a shard. "" if one of them doesn't tell.
  std::string Results() const;

  absl::Status WriteManifest(const std::string& path) const;
  // Appends the records that the journal lacks.
  absl::Status WriteJournal(const std::string& manifest, Journal& journal) const;

 private:
  absl::StatusOr<ShardResult> Open(const std::string& name) const {
    absl::StatusOr<ShardResult> shard;
    (void)Patiently(patience_, [&] {
      shard = ShardResult::Open(AddressBelow(options_.results, name), options_.network);
      return shard.status();
    });
    return shard;
  }
  // Compares a shard with the first one.
  absl::Status CheckBelongs(const ShardResult& shard, const std::string& name) const;
  absl::Status Add(const ShardResult& shard, const std::string& name);
  absl::Status CheckComplete() const;

  const MergeOptions& options_;
  const Patience& patience_;
  Reporter& reporter_;
  std::optional<Head> head_;
  ShardIdentity identity_;                  // of the first one
  std::string first_;                       // its name
  std::vector<std::optional<Part>> parts_;  // by the shards' numbers
};

absl::Status Merge::Find() {
  const auto names = ListBelow(options_.results, kShardEnding, options_.network, patience_);
  if (!names.ok()) return names.status();
  if (names->empty()) {
    return absl::NotFoundError(StrCat(Shown(options_.results), ": there is no result of a shard; ",
                                      "needed: what duet prelabel FILE.manifest --shard=I/N ",
                                      "--out=", Shown(options_.results), " writes"));
  }
  for (const std::string& name : *names) {
    const absl::StatusOr<ShardResult> shard = Open(name);
    if (!shard.ok()) return shard.status();
    if (absl::Status status = Add(*shard, name); !status.ok()) return status;
  }
  return CheckComplete();
}

absl::Status Merge::CheckBelongs(const ShardResult& shard, const std::string& name) const {
  const ShardIdentity& identity = shard.identity();
  const auto foreign = [&](std::string_view what, const auto& its, const auto& firsts) {
    return absl::FailedPreconditionError(
        StrCat(Shown(name), " isn't of the same run as ", Shown(first_), ": its ", what, " is ",
               its, " instead of ", firsts, "; needed: the results of one run alone in ",
               Shown(options_.results)));
  };
  if (identity.manifest != identity_.manifest) {
    return foreign("source", identity.source, identity_.source);
  }
  if (identity.shard.count != identity_.shard.count) {
    return foreign("number of shards", identity.shard.count, identity_.shard.count);
  }
  Head head = shard.head();
  head.source = head_->source;
  const std::optional<Difference> difference = FirstDifference(head, *head_);
  if (difference) return foreign(difference->what, difference->found, difference->wanted);
  return absl::OkStatus();
}

absl::Status Merge::Add(const ShardResult& shard, const std::string& name) {
  const ShardIdentity& identity = shard.identity();
  if (!head_) {
    head_ = shard.head();
    head_->source = identity.source;
    head_->listing.images = identity.manifest_images;
    identity_ = identity;
    first_ = name;
    parts_.resize(identity.shard.count);
  }
  if (absl::Status status = CheckBelongs(shard, name); !status.ok()) return status;
  std::optional<Part>& part = parts_.at(identity.shard.index);
  if (part) {
    return absl::FailedPreconditionError(StrCat(Shown(part->name), " and ", Shown(name),
                                                " are both shard ", ShardText(identity.shard),
                                                "; needed: one of them"));
  }
  part = Part{.name = name, .images = shard.totals().images, .results = shard.journal_checksum()};
  return absl::OkStatus();
}

absl::Status Merge::CheckComplete() const {
  constexpr std::size_t kMaxNamed = 10;
  std::string missing;
  std::size_t count = 0;
  std::uint64_t images = 0;
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    images += parts_[i] ? parts_[i]->images : 0;
    if (parts_[i] || ++count > kMaxNamed) continue;
    text::StrAppend(&missing, missing.empty() ? "" : ", ",
                    ShardFileName({.index = i, .count = parts_.size()}));
  }
  if (count > kMaxNamed) text::StrAppend(&missing, " and ", count - kMaxNamed, " more");
  if (count > 0) {
    return absl::FailedPreconditionError(StrCat(Shown(options_.results), " lacks ", count, " of ",
                                                parts_.size(), " shards: ", missing));
  }
  if (images != identity_.manifest_images) {
    return absl::DataLossError(StrCat(Shown(options_.results), ": the shards have ", images,
                                      " images together, and their manifest has ",
                                      identity_.manifest_images));
  }
  return absl::OkStatus();
}

std::string Merge::Results() const {
  std::string results;
  for (const std::optional<Part>& part : parts_) {
    if (part->results.empty()) return "";
    text::StrAppend(&results, part->results, "\n");
  }
  return results;
}

absl::Status Merge::WriteManifest(const std::string& path) const {
  absl::StatusOr<files::AtomicFile> file = files::AtomicFile::Create(path);
  if (!file.ok()) return file.status();
  for (const std::optional<Part>& part : parts_) {
    const absl::StatusOr<ShardResult> shard = Open(part->name);
    if (!shard.ok()) return shard.status();
    const absl::Status status =
        shard->ReadManifest([&](std::string_view bytes) { file->Append(bytes); });
    if (!status.ok()) return status;
  }
  return file->Commit();
}

absl::Status Merge::WriteJournal(const std::string& manifest, Journal& journal) const {
  absl::StatusOr<ManifestReader> items = ManifestReader::Open(manifest, journal.place());
  if (!items.ok()) return items.status();
  std::uint64_t first = 0;  // of the shard's images, in all of them
  for (const std::optional<Part>& part : parts_) {
    if (first + part->images > journal.place().index) {
      const absl::StatusOr<ShardResult> shard = Open(part->name);
      if (!shard.ok()) return shard.status();
      absl::Status status = shard->ReadRecords([&](duet::bulk::v1::Record record) -> absl::Status {
        const std::uint64_t index = first + record.index();
        if (index < journal.place().index) return absl::OkStatus();
        const absl::StatusOr<std::optional<Item>> item = items->Next();
        if (!item.ok()) return item.status();
        if (!*item) return absl::DataLossError(StrCat(manifest, ": has too few images"));
        record.set_index(index);
        return journal.Append(record, items->place());
      });
      if (status.ok()) status = journal.Sync();
      if (!status.ok()) return status;
      reporter_.Progress(journal.totals(), identity_.manifest_images);
    }
    first += part->images;
  }
  return absl::OkStatus();
}

// The head that the output is written with. InvalidArgument if the shards haven't what it takes.
absl::StatusOr<Head> HeadForOutput(const MergeOptions& options, Head head) {
  const OutputFormat& format = *options.format;
  if (!options.label_config.empty()) head.label_config = options.label_config;
  if (format.needs_label_config && head.label_config.empty()) {
    return absl::InvalidArgumentError(
        StrCat("--format=", format.name, " needs --label_config, since the shards have none"));
  }
  bool needs_masks = format.needs_masks;
  if (format.masked_classes != nullptr) {
    const absl::StatusOr<ClassNames> classes = format.masked_classes(head);
    if (!classes.ok()) return classes.status();
    needs_masks = !classes->empty();
  }
  if (needs_masks && head.masks == MaskMaker::kNone) {
    return absl::InvalidArgumentError(
        StrCat("--format=", format.name, " needs masks, and the shards were made without"));
  }
  return head;
}

}  // namespace

absl::StatusOr<RunResult> MergeShards(const MergeOptions& options, Reporter& reporter) {
  const Patience patience = PatienceOf(options.output.patience.lasts, reporter);
  Merge merge(options, patience, reporter);
  if (absl::Status status = merge.Find(); !status.ok()) return status;
  const absl::StatusOr<Head> head = HeadForOutput(options, merge.head());
  if (!head.ok()) return head.status();
  if (options.output.project != nullptr &&
      !merge.head().source.ends_with(" of " + options.output.out)) {
    return absl::InvalidArgumentError(
        StrCat("--out=", options.output.out, ": the shards are those of the ", merge.head().source,
               "; needed: the project that they come from, or a file"));
  }
  const absl::StatusOr<RunFolder> folder = RunFolder::Lock(options.output.out);
  if (!folder.ok()) return folder.status();
  const absl::StatusOr<std::optional<Head>> begun = folder->ReadHead();
  if (!begun.ok()) return begun.status();
  absl::Status status = *begun ? CheckSame(**begun, merge.head(), folder->path())
                               : CheckOutIsFree(options.output.out);
  if (status.ok() && options.output.project == nullptr) {
    status = CheckCanBeWritten(*options.format, options.output.out);
  }
  if (status.ok() && !*begun) {
    status = Patiently(patience, [&] { return merge.WriteManifest(folder->manifest()); });
  }
  // What the journal has of a shard that was done again since then is of no use.
  const std::string shards = folder->path() + "/shards";
  const std::string results = merge.Results();
  bool anew = !*begun;
  if (status.ok() && *begun) {
    const absl::StatusOr<std::string> merged = files::ReadText(shards, kMaxShardsText);
    anew = results.empty() || !merged.ok() || *merged != results;
    if (anew && merged.ok()) {
      reporter.Says(StrCat(Shown(options.results),
                           ": shards were done again since they were merged into ",
                           options.output.out, ", so the merge begins anew"));
    }
  }
  if (status.ok() && anew) status = folder->WriteHead(merge.head());
  if (status.ok() && anew) status = files::WriteFile(shards, results);
  if (!status.ok()) {
    if (!*begun) folder->Remove();
    return status;
  }
  absl::StatusOr<Journal> journal = Journal::Open(folder->path(), folder->manifest());
  if (!journal.ok()) return journal.status();
  RunResult result{.before = journal->place().index};
  status = Patiently(patience, [&] { return merge.WriteJournal(folder->manifest(), *journal); });
  if (!status.ok()) return status;
  result.totals = journal->totals();
  const Results all{.folder = *folder,
                    .head = *head,
                    .count = journal->place().index,
                    .totals = journal->totals()};
  status = FinishRun(*options.format, options.output, all, reporter, &result);
  if (!status.ok()) return status;
  return result;
}

}  // namespace bulk
