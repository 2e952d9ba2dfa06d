// Lists the images that a command names into a manifest.
//
// A SOURCE is one of
//   a folder        all images in it and below it, by their names' endings, sorted by name; names
//                   that begin with a dot are left out. If it is the only source, outputs name its
//                   images relative to it.
//   a pattern       photos/**/*.jpg: '*' and '?' and [a-z] within a name, '**' for any folders
//   a list          FILE.txt or FILE.list, or "-" for the standard input: one image a line, a path
//                   or an address. If the list has zero bytes, they end the names instead of line
//                   ends, as `find -print0` writes them: then names may have line ends.
//   a COCO file     FILE.json: its `images`, which keep their ids, and its categories
//   a project       label-studio:7, all of its tasks or those of a view
//   a bucket        s3://bucket/prefix: all images whose keys begin so, unless that is itself an
//                   image's name
//   a manifest      prepared once for several machines (prepared_manifest.h), or a shard of it
//   an address      https://…, s3://bucket/key.jpg
//   any other file  an image
// Several may be mixed, but for COCO files, projects and manifests.
#ifndef DUET_BULK_LISTING_H_
#define DUET_BULK_LISTING_H_

#include <absl/functional/function_ref.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <istream>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulk/item.h"
#include "bulk/patience.h"
#include "bulk/shard.h"
#include "http_client/network.h"

namespace bulk {

class LabelStudioProject;
class PreparedManifest;

// What is known of all images of a manifest.
struct Listing {
  std::uint64_t images = 0;
  std::string root;  // absolute; paths of files that aren't absolute are below it
  // Every image has an id, and it is a whole number.
  bool has_ids = false;
  // The images are those of a Label Studio project's tasks, whose ids they have.
  bool of_label_studio = false;
  // The categories of a COCO file, in its order: id and name.
  std::vector<std::pair<std::int64_t, std::string>> categories;
  // Files in folders whose names don't say that they are images.
  std::uint64_t left_out = 0;
  // Folders below a source that may not be read, such as lost+found; the first one's path.
  std::uint64_t closed_folders = 0;
  std::string first_closed;
};

struct ListingOptions {
  std::vector<std::string> sources;
  // The folder that relative paths of lists and COCO files are below; "": the current one, and for
  // a COCO file its own.
  std::string images;
  std::istream* standard_input = nullptr;  // for the source "-"
  // What the only source, a prepared manifest, has been opened as, and the part of it that is
  // meant. Null: sources are listed. Outlives this.
  const PreparedManifest* prepared = nullptr;
  Shard shard;
  // For the source label-studio:ID; null: none can be used.
  LabelStudioProject* project = nullptr;
  Patience patience;  // with buckets and projects that are away
  // By which buckets are asked.
  std::shared_ptr<http_client::Network> network = nullptr;  // null: Network::Default()
};

using AddImage = absl::FunctionRef<void(std::string_view name, std::string_view id)>;

// Calls `add` for all images, in the order of the sources. NotFound if a source isn't there or
// there is no image in any (but a shard of a manifest may have none), InvalidArgument for a source
// that can't be used; the message names it.
absl::StatusOr<Listing> ListImages(const ListingOptions& options, AddImage add);

// The path of an image's file. REQUIRES: its name isn't an address.
std::string PathOf(const Listing& listing, const Item& item);

}  // namespace bulk

#endif  // DUET_BULK_LISTING_H_
