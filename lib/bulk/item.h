// One image of a bulk run.
#ifndef DUET_BULK_ITEM_H_
#define DUET_BULK_ITEM_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace bulk {

struct Item {
  std::uint64_t index = 0;  // in the manifest
  // What the outputs call it: a path below the source's folder, or a URL. Bytes, not text: names of
  // files need not be UTF-8.
  std::string name;
  // What its source calls it: the id of a COCO image; "" if it has none.
  std::string id;
};

// Whether a name is the address of an image that has to be fetched: "https://…", "s3://…" or
// "data:…". Otherwise it is the path of a file.
bool IsAddress(std::string_view name);

// A name as a message shows it: on one line, in UTF-8, without what a URL's query may keep secret.
std::string Shown(std::string_view name);

// A path without the slashes at its end.
std::string WithoutSlashes(std::string path);

}  // namespace bulk

#endif  // DUET_BULK_ITEM_H_
