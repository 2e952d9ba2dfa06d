// A prepared manifest: the images of a run, listed once into a file of their own, which machines
// that work side by side cut among themselves.
//
// It is a manifest (manifest.h) with one more line at its end, which begins with a tab, so that it
// is no image's, and goes on with JSON: what is known of all images, and the manifest's id. Copied
// in part it lacks that line, and is refused.
#ifndef DUET_BULK_PREPARED_MANIFEST_H_
#define DUET_BULK_PREPARED_MANIFEST_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulk/listing.h"
#include "bulk/shard.h"
#include "bulk/stored_object.h"

namespace bulk {

// How the name of one ends, which tells it from other sources.
inline constexpr std::string_view kManifestEnding = ".manifest";

class PreparedManifest {
 public:
  // Lists the sources into `address`, a path or s3://bucket/key, where the manifest appears as a
  // whole. Errors: those of ListImages and PutObject.
  static absl::StatusOr<Listing> Write(const ListingOptions& options, const std::string& address);

  // Reads the last line alone. DataLoss if the file isn't a whole one of this kind.
  static absl::StatusOr<std::unique_ptr<PreparedManifest>> Open(
      const std::string& address, std::shared_ptr<http_client::Network> network = nullptr);

  // The same for the same images in the same order, and for no others.
  const std::string& id() const { return id_; }
  // Of all images.
  const Listing& listing() const { return listing_; }
  // As the command named them.
  const std::vector<std::string>& sources() const { return sources_; }
  // What tells it from others: "manifest 3f9c2a7be1d04c55 of photos".
  std::string Describe() const;

  // Calls `add` for each image of a shard: those whose lines begin within its N-th part of the
  // bytes. Reads these lines alone. Returns what is known of them. A manifest of few images has
  // shards with none.
  absl::StatusOr<Listing> List(const Shard& shard, AddImage add) const;

 private:
  PreparedManifest(std::unique_ptr<StoredObject> object, std::uint64_t end, std::string id,
                   Listing listing, std::vector<std::string> sources)
      : object_(std::move(object)),
        end_(end),
        id_(std::move(id)),
        listing_(std::move(listing)),
        sources_(std::move(sources)) {}

  // Where the first line begins at or behind the I-th of N equal parts of the images' bytes.
  absl::StatusOr<std::uint64_t> Border(std::uint64_t part, std::uint64_t parts) const;

  const std::unique_ptr<StoredObject> object_;
  const std::uint64_t end_;  // of the images' lines, bytes
  const std::string id_;
  const Listing listing_;
  const std::vector<std::string> sources_;
};

}  // namespace bulk

#endif  // DUET_BULK_PREPARED_MANIFEST_H_
