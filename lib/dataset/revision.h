// A frozen state of a data set: what a training worked on can be named, repeated, and shown to be
// unchanged.
//
//   DIRECTORY/images/SHA-256.jpg             each image once, under the hash of its bytes
//   DIRECTORY/revisions/ID/train.json        COCO (coco_writer.h); file names relative to DIRECTORY
//   DIRECTORY/revisions/ID/validation.json
//   DIRECTORY/revisions/ID/manifest.json     docs/formats.md
//
// The id is the beginning of the manifest's SHA-256, and the manifest has the hash of everything
// else. It is written last: a folder without one is what an interrupted writer left, and the same
// data set written again completes it. Revisions of one directory share their images.
#ifndef DUET_DATASET_REVISION_H_
#define DUET_DATASET_REVISION_H_

#include <absl/functional/function_ref.h>
#include <absl/status/statusor.h>

#include <string>
#include <vector>

#include "dataset/findings.h"
#include "dataset/sample.h"
#include "dataset/split.h"

namespace dataset {

struct Revision {
  std::string id;  // 16 hexadecimal digits
  // `image` is the path of the frozen image below the directory. In the order of the images'
  // hashes, so that the same tasks make the same revision in whatever order they come.
  Dataset dataset;
  std::vector<Side> sides;  // one a sample
  // Of all images that were ever in: what the next revision's split begins with.
  Sides all_sides;
};

struct RevisionOptions {
  double validation_share = 0.2;
  // all_sides of the revision before, or none.
  Sides former;
};

// The encoded image of a sample whose `image_bytes` is null.
using ReadImage = absl::FunctionRef<absl::StatusOr<std::string>(const Sample&)>;

// Writes a revision below `directory`, which is made if it doesn't exist. Left out and counted:
// samples whose image can't be read, is none, or has another size than the one that was annotated.
// FailedPrecondition if none is left; otherwise errors of the file system.
absl::StatusOr<Revision> WriteRevision(const Dataset& dataset, ReadImage read_image,
                                       const RevisionOptions& options, const std::string& directory,
                                       Findings* findings);

// NotFound if there is no such revision; DataLoss, naming the file, if one is missing or its hash
// isn't the manifest's. All images are read and hashed, unless `verify_images` is false.
absl::StatusOr<Revision> ReadRevision(const std::string& directory, const std::string& id,
                                      bool verify_images = true);

// The sides of all images that revisions of the directory know, for RevisionOptions::former. Empty
// if there are none. DataLoss, naming the file, if a manifest has changed, or if two revisions say
// different sides of an image: they weren't made one after the other.
absl::StatusOr<Sides> ReadSides(const std::string& directory);

}  // namespace dataset

#endif  // DUET_DATASET_REVISION_H_
