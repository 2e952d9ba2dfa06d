// The strings that stand for something on Label Studio. Internal to image_fetch.
#ifndef DUET_IMAGE_FETCH_LABEL_STUDIO_PATH_H_
#define DUET_IMAGE_FETCH_LABEL_STUDIO_PATH_H_

#include <optional>
#include <string>
#include <string_view>

#include "label_studio_api/label_studio_site.h"

namespace image_fetch {

// "/data/upload/1/a.jpg", and not "//host/a.jpg".
bool IsRelativeUri(std::string_view uri);

// The escaped path below the site's URL ("/data/upload/1/a%20b.jpg", with its query) of a relative
// URI, or of a URL below the site's or an alias's. Nothing for any other string.
std::optional<std::string> LabelStudioPath(std::string_view uri,
                                           const label_studio_api::LabelStudioSite& site);

}  // namespace image_fetch

#endif  // DUET_IMAGE_FETCH_LABEL_STUDIO_PATH_H_
