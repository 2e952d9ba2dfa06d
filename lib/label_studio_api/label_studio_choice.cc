#include "label_studio_api/label_studio_choice.h"

#include <utility>

#include "text/str_cat.h"

namespace label_studio_api {
namespace {

// A personal access token has a few hundred characters.
constexpr std::size_t kMaxToken = 4096;

}  // namespace

std::size_t SetupSite::bytes() const {
  return url.size() + (token == nullptr ? 0 : sizeof(serving::Secret) + token->value().size());
}

SetupSite ReadSetupSite(const OperatorSite& by_operator, std::string_view hostname,
                        std::string_view access_token, std::string* why_not) {
  SetupSite site;
  why_not->clear();
  if (hostname.empty()) return site;
  auto url = ParseSiteUrl(hostname);
  if (!url.ok()) {
    *why_not = text::StrCat("hostname ", url.status().message());
    return site;
  }
  site.url = *std::move(url);
  if (!by_operator.url.empty() || access_token.empty()) return site;
  if (access_token.size() > kMaxToken) {
    *why_not =
        text::StrCat("access_token has ", access_token.size(), " characters; at most ", kMaxToken);
    return site;
  }
  site.token = std::make_shared<serving::Secret>(std::string(access_token));
  return site;
}

LabelStudioSite ChooseSite(const OperatorSite& by_operator, const SetupSite& by_setup) {
  LabelStudioSite site;
  if (by_operator.url.empty()) {
    site.url = by_setup.url;
    site.token = by_setup.token;
    return site;
  }
  site.url = by_operator.url;
  site.token = by_operator.token;
  site.trusted = true;
  site.aliases = by_operator.aliases;
  if (!by_setup.url.empty()) site.aliases.push_back(by_setup.url);
  return site;
}

}  // namespace label_studio_api
