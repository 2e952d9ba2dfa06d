#include "bulk/prepared_manifest.h"

#include <absl/strings/str_join.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <exception>
#include <filesystem>
#include <stdexcept>
#include <system_error>

#include "bulk/head.h"
#include "bulk/item.h"
#include "bulk/label_studio_project.h"
#include "bulk/manifest.h"
#include "bulk/patience.h"
#include "files/atomic_file.h"
#include "hash/sha256.h"
#include "text/str_cat.h"

namespace bulk {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using text::StrCat;

constexpr int kFormat = 1;
constexpr std::size_t kWriteBytes = std::size_t{1} << 20;
constexpr std::uint64_t kSearchBytes = std::uint64_t{64} << 10;
constexpr std::uint64_t kMaxLastLineBytes = std::uint64_t{64} << 20;

absl::Status NoManifest(const std::string& address, std::string_view why) {
  return absl::DataLossError(StrCat(Shown(address), ": ", why, "; needed: a whole manifest, as ",
                                    "duet prelabel SOURCE --manifest=FILE", kManifestEnding,
                                    " writes it"));
}

// Where the last line begins. The object ends with a line end.
absl::StatusOr<std::uint64_t> BeginOfLastLine(StoredObject& object) {
  std::uint64_t begin = object.size() - std::min<std::uint64_t>(1, object.size());
  while (begin > 0 && object.size() - begin <= kMaxLastLineBytes) {
    const std::uint64_t count = std::min(begin, kSearchBytes);
    const absl::StatusOr<std::string> block = object.Read(begin - count, count);
    if (!block.ok()) return block.status();
    const auto end = block->rfind('\n');
    if (end != std::string::npos) return begin - count + end + 1;
    begin -= count;
  }
  return begin;
}

}  // namespace

absl::StatusOr<Listing> PreparedManifest::Write(const ListingOptions& options,
                                                const std::string& address) {
  std::error_code error;
  const std::string path =
      IsS3Address(address)
          ? (fs::temp_directory_path(error) / StrCat("duet-", getpid(), kManifestEnding)).native()
          : address;
  absl::StatusOr<files::AtomicFile> file = files::AtomicFile::Create(path);
  if (!file.ok()) return file.status();
  hash::Sha256Hasher digest;
  std::string lines;
  const auto write = [&] {
    digest.Update(lines);
    file->Append(lines);
    lines.clear();
  };
  bool has_relative_paths = false;
  absl::StatusOr<Listing> listing =
      ListImages(options, [&](std::string_view name, std::string_view id) {
        AppendManifestLine(name, id, &lines);
        has_relative_paths = has_relative_paths || (!IsAddress(name) && !name.starts_with('/'));
        if (lines.size() >= kWriteBytes) write();
      });
  if (!listing.ok()) return listing.status();
  write();
  // Two folders may have images of the same names, and two sites tasks of the same ids.
  Listing meaning = *listing;
  if (!has_relative_paths) meaning.root.clear();
  digest.Update(json::serialize(ToJson(meaning)));
  if (options.project != nullptr) digest.Update(options.project->Describe());
  constexpr std::size_t kIdDigits = 16;
  const json::object last = {
      {"format", kFormat},
      {"id", hash::Hex(digest.Finish()).substr(0, kIdDigits)},
      {"sources", json::array(options.sources.begin(), options.sources.end())},
      {"listing", ToJson(*listing)}};
  file->Append(StrCat("\t", json::serialize(last), "\n"));
  if (absl::Status status = file->Commit(); !status.ok()) return status;
  if (path == address) return listing;
  const absl::Status put =
      Patiently(options.patience, [&] { return PutObject(path, address, options.network); });
  fs::remove(path, error);
  if (!put.ok()) return put;
  return listing;
}

absl::StatusOr<std::unique_ptr<PreparedManifest>> PreparedManifest::Open(
    const std::string& address, std::shared_ptr<http_client::Network> network) {
  auto object = StoredObject::Open(address, std::move(network));
  if (!object.ok()) return object.status();
  const absl::StatusOr<std::uint64_t> end = BeginOfLastLine(**object);
  if (!end.ok()) return end.status();
  const absl::StatusOr<std::string> line = (*object)->Read(*end, (*object)->size() - *end);
  if (!line.ok()) return line.status();
  if (!line->starts_with('\t') || !line->ends_with('\n')) {
    return NoManifest(address, "its last line isn't that of a manifest");
  }
  try {
    json::parse_options options;
    options.allow_invalid_utf8 = true;  // names are bytes
    const json::value value = json::parse(*line, {}, options);
    const json::object& last = value.as_object();
    if (last.at("format").to_number<int>() != kFormat) {
      return NoManifest(address, "it is of another release of Duet");
    }
    std::vector<std::string> sources;
    for (const json::value& source : last.at("sources").as_array()) {
      sources.emplace_back(source.as_string());
    }
    return std::unique_ptr<PreparedManifest>(
        new PreparedManifest(*std::move(object), *end, std::string(last.at("id").as_string()),
                             ListingFromJson(last.at("listing").as_object()), std::move(sources)));
  } catch (const std::exception& error) {
    return NoManifest(address, error.what());
  }
}

std::string PreparedManifest::Describe() const {
  return StrCat("manifest ", id_, " of ", absl::StrJoin(sources_, " "));
}

absl::StatusOr<std::uint64_t> PreparedManifest::Border(std::uint64_t part,
                                                       std::uint64_t parts) const {
  if (part == parts) return end_;
  // The product of the two could be too large.
  const std::uint64_t at = end_ / parts * part + end_ % parts * part / parts;
  if (at == 0) return 0;
  // A line that begins right there is preceded by a line end.
  for (std::uint64_t begin = at - 1; begin < end_; begin += kSearchBytes) {
    const absl::StatusOr<std::string> block =
        object_->Read(begin, std::min(kSearchBytes, end_ - begin));
    if (!block.ok()) return block.status();
    const auto end = block->find('\n');
    if (end != std::string::npos) return begin + end + 1;
  }
  return end_;
}

absl::StatusOr<Listing> PreparedManifest::List(const Shard& shard, AddImage add) const {
  const absl::StatusOr<std::uint64_t> begin = Border(shard.index, shard.count);
  if (!begin.ok()) return begin.status();
  const absl::StatusOr<std::uint64_t> end = Border(shard.index + 1, shard.count);
  if (!end.ok()) return end.status();
  Listing listing = listing_;
  listing.images = 0;
  ObjectStream lines(*object_, *begin, *end);
  while (lines.offset() < *end) {
    const absl::StatusOr<std::string_view> line = lines.Line();
    if (!line.ok()) return line.status();
    const Item item = ParseManifestLine(*line);
    if (item.name.empty()) return NoManifest(object_->address(), "it has a line without a name");
    add(item.name, item.id);
    ++listing.images;
  }
  return listing;
}

}  // namespace bulk
