// Which Label Studio a request uses, and whose token goes there: the one place that decides.
//
// The operator's address is used wherever there is one, with the operator's token, and is trusted.
// What /setup calls Label Studio is then another name for it. Without it, the address is what
// /setup said, which anybody may have said: it is held to the address policy, and gets the token
// that came in the same /setup, never the operator's. docs/security.md has the table.
#ifndef DUET_LABEL_STUDIO_API_LABEL_STUDIO_CHOICE_H_
#define DUET_LABEL_STUDIO_API_LABEL_STUDIO_CHOICE_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "label_studio_api/label_studio_site.h"
#include "serving/secret.h"

namespace label_studio_api {

// By flags. URLs as ParseSiteUrl gives them.
struct OperatorSite {
  std::string url;                               // "" if none is given
  std::vector<std::string> aliases;              // REQUIRES: empty without `url`
  std::shared_ptr<const serving::Secret> token;  // null if none is given, or there is no `url`
};

// By a /setup.
struct SetupSite {
  std::string url;                               // "" if none was said
  std::shared_ptr<const serving::Secret> token;  // null if none was said

  // What it takes in memory, about.
  std::size_t bytes() const;
};

// What of a /setup's words can be used. `why_not` gets a sentence if there is a hostname that can't
// be (no URL, too long, …), which is then left out, with the token: Label Studio's own name for
// itself is a hint, and its absence is told where it is missed. A token isn't kept where it would
// not be used.
SetupSite ReadSetupSite(const OperatorSite& by_operator, std::string_view hostname,
                        std::string_view access_token, std::string* why_not);

LabelStudioSite ChooseSite(const OperatorSite& by_operator, const SetupSite& by_setup);

}  // namespace label_studio_api

#endif  // DUET_LABEL_STUDIO_API_LABEL_STUDIO_CHOICE_H_
