// The flags by which an operator names the Label Studio that a process may use, with its token.
#ifndef DUET_LABEL_STUDIO_API_SITE_OPTIONS_H_
#define DUET_LABEL_STUDIO_API_SITE_OPTIONS_H_

#include <absl/status/statusor.h>

#include <string>
#include <vector>

#include "label_studio_api/label_studio_site.h"

namespace label_studio_api {

struct SiteOptions {
  std::string url;
  std::vector<std::string> aliases;
  std::string api_key;
  std::string api_key_file;
};

// The site that they name, trusted. InvalidArgument names the flag whose value can't be used; never
// the token.
absl::StatusOr<LabelStudioSite> ReadSite(const SiteOptions& options);

}  // namespace label_studio_api

#endif  // DUET_LABEL_STUDIO_API_SITE_OPTIONS_H_
