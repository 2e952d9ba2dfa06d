// The image files that a data set's images are, wherever the folder with them was moved to.
#ifndef DUET_DATASET_IMAGE_FILES_H_
#define DUET_DATASET_IMAGE_FILES_H_

#include <absl/status/statusor.h>

#include <string>
#include <string_view>

namespace dataset {

// The bytes of an image's file below `folder`. `image` is what the task's data or COCO's file_name
// says: "/data/upload/1/a.jpg", "/data/local-files/?d=in/a%20b.jpg", a path, or an address. Tried
// are the whole path and what is left of it without its first folders, down to the name alone.
// NotFound; Unavailable if the folder can't be read, or no file at all just now; nothing outside of
// the folder is read.
absl::StatusOr<std::string> ReadImageFile(const std::string& folder, std::string_view image);

// The same, of an image that can be decoded as a whole: browsers show damaged ones, but nothing is
// to be learned from what is missing. A file that is no image at all passes, since AcceptImage
// (sample_image.h) says so. DataLoss.
absl::StatusOr<std::string> ReadWholeImage(const std::string& folder, std::string_view image);

// The file's name in such an `image`: "a b.jpg".
std::string FileNameOf(std::string_view image);

}  // namespace dataset

#endif  // DUET_DATASET_IMAGE_FILES_H_
