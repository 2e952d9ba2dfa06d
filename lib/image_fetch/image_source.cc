#include "image_fetch/image_source.h"

#include "hash/sha256.h"
#include "text/str_cat.h"

namespace image_fetch {

std::string CacheKey(std::string_view source, std::string_view address) {
  return hash::Sha256Hex(text::StrCat(source, "\n", address));
}

// URLs are escaped, so that no part has a line break in it but for an object store's address, whose
// length tells where it ends.
std::string CacheKey(std::string_view source, std::string_view address,
                     const label_studio_api::LabelStudioSite& site, std::int64_t task_id) {
  return hash::Sha256Hex(text::StrCat(source, "\n", address, "\n", address.size(), "\n", site.url,
                                      "\n", site.trusted ? "1" : "0", "\n", task_id, "\n",
                                      site.Token()));
}

}  // namespace image_fetch
