// The flags by which an operator names the Label Studio that a process may use, with its token.
#ifndef DUET_LABEL_STUDIO_API_SITE_OPTIONS_H_
#define DUET_LABEL_STUDIO_API_SITE_OPTIONS_H_

#include <absl/status/statusor.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "label_studio_api/label_studio_choice.h"
#include "label_studio_api/label_studio_site.h"
#include "serving/flags.h"
#include "serving/secret.h"

namespace label_studio_api {

struct SiteOptions {
  std::string url;
  std::vector<std::string> aliases;
  std::string api_key;
  std::string api_key_file;
};

// All of them but --label_studio_url, which each program explains itself.
void AddFlags(SiteOptions* options, serving::FlagTable* flags);

// What they name; a site without a URL if there is none. InvalidArgument names the flag whose value
// can't be used, or that lacks its partner; never the token.
absl::StatusOr<OperatorSite> ReadOperatorSite(const SiteOptions& options);
// The same for whoever needs a site: trusted. REQUIRES a URL, else InvalidArgument.
absl::StatusOr<LabelStudioSite> ReadSite(const SiteOptions& options);

// The value of a secret's flag, or what the file of --FLAG_file holds; null if neither is given.
// InvalidArgument if both are, or the file can't be read; never says the secret.
absl::StatusOr<std::shared_ptr<const serving::Secret>> ReadSecret(std::string_view flag,
                                                                  const std::string& value,
                                                                  const std::string& file);

}  // namespace label_studio_api

#endif  // DUET_LABEL_STUDIO_API_SITE_OPTIONS_H_
