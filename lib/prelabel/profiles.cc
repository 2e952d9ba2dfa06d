#include "prelabel/profiles.h"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <set>
#include <utility>

#include "text/str_cat.h"

namespace prelabel {
namespace {

namespace json = boost::json;

bool IsName(std::string_view name) {
  constexpr std::string_view kLegal =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
  return !name.empty() && name.size() <= 64 && name.find_first_not_of(kLegal) == name.npos;
}

// Takes a text out of `object`; `fallback` if it isn't there.
absl::StatusOr<std::string> TakeText(json::object& object, std::string_view key,
                                     const std::string& fallback) {
  const auto found = object.find(key);
  if (found == object.end()) return fallback;
  if (!found->value().is_string())
    return absl::InvalidArgumentError(text::StrCat(key, " must be text"));
  std::string text(found->value().get_string());
  object.erase(found);
  return text;
}

// Clients by targets, so that equal ones are shared.
class Clients {
 public:
  explicit Clients(const Profiles::Connect& connect) : connect_(connect) {}

  absl::Status Fill(const std::string& detector, const std::string& segmenter, Profile* profile) {
    if (!detector.empty() && !detectors_.contains(detector)) {
      auto client = connect_.detector(detector);
      if (!client.ok()) return client.status();
      detectors_[detector] = *std::move(client);
    }
    if (!segmenter.empty() && !segmenters_.contains(segmenter)) {
      auto client = connect_.segmenter(segmenter);
      if (!client.ok()) return client.status();
      segmenters_[segmenter] = *std::move(client);
    }
    if (!detector.empty()) profile->detector = detectors_[detector];
    if (!segmenter.empty()) profile->segmenter = segmenters_[segmenter];
    if (!profile->detector && !profile->segmenter) {
      return absl::InvalidArgumentError("there is neither a detector nor a segmenter");
    }
    return absl::OkStatus();
  }

 private:
  const Profiles::Connect& connect_;
  std::map<std::string, std::shared_ptr<backends::DetectorClient>> detectors_;
  std::map<std::string, std::shared_ptr<backends::SegmenterClient>> segmenters_;
};

absl::StatusOr<Profile> MakeProfile(std::string_view name, const json::value& value,
                                    const std::string& detector, const std::string& segmenter,
                                    const Settings& base, Clients& clients) {
  if (!IsName(name)) {
    return absl::InvalidArgumentError(
        "a name has 1 to 64 characters: letters, digits, '-', '_' and '.'");
  }
  if (!value.is_object()) return absl::InvalidArgumentError("must be an object");
  json::object object = value.get_object();
  auto own_detector = TakeText(object, "detector", detector);
  if (!own_detector.ok()) return own_detector.status();
  auto own_segmenter = TakeText(object, "segmenter", segmenter);
  if (!own_segmenter.ok()) return own_segmenter.status();
  auto settings = Refine(base, object, /*strict=*/true);
  if (!settings.ok()) return settings.status();
  Profile profile{.name = std::string(name), .settings = *std::move(settings)};
  if (absl::Status status = clients.Fill(*own_detector, *own_segmenter, &profile); !status.ok())
    return status;
  return profile;
}

std::set<std::string> ToSet(const std::vector<std::string>& names) {
  return {names.begin(), names.end()};
}

}  // namespace

std::string ServedModels::versions() const {
  return text::StrCat(detector ? detector->version + "+" : "",
                      segmenter ? segmenter->version + "+" : "");
}

std::optional<ServedModels> Serving(const Profile& profile, const std::string& name) {
  ServedModels models;
  if (profile.detector) models.detector = profile.detector->model(name);
  if (profile.segmenter) models.segmenter = profile.segmenter->model(name);
  if (profile.detector && !models.detector) return std::nullopt;
  if (profile.segmenter && !models.segmenter) return std::nullopt;
  return models;
}

std::optional<ServedModels> KnownServing(const Profile& profile, const std::string& name) {
  ServedModels models;
  if (profile.detector) models.detector = profile.detector->known_model(name);
  if (profile.segmenter) models.segmenter = profile.segmenter->known_model(name);
  if (profile.detector && !models.detector) return std::nullopt;
  if (profile.segmenter && !models.segmenter) return std::nullopt;
  return models;
}

std::vector<backends::ModelOwner> OwnersOf(const Profile& profile, const std::string& name) {
  std::vector<backends::ModelOwner> owners;
  if (profile.detector && profile.detector->Has(name)) {
    owners.push_back(profile.detector->owner(name));
  }
  if (profile.segmenter && profile.segmenter->Has(name)) {
    owners.push_back(profile.segmenter->owner(name));
  }
  return owners;
}

bool HasModel(const Profile& profile, const std::string& name) {
  return (profile.detector && profile.detector->Has(name)) ||
         (profile.segmenter && profile.segmenter->Has(name));
}

std::vector<std::string> AllVersions(const Profile& profile) {
  std::set<std::string> names = {backends::kDefaultModel};
  if (profile.detector) names.merge(ToSet(profile.detector->names()));
  if (profile.segmenter) names.merge(ToSet(profile.segmenter->names()));
  std::vector<std::string> versions;
  for (const std::string& name : names) {
    if (const auto models = KnownServing(profile, name)) versions.push_back(models->versions());
  }
  return versions;
}

std::optional<std::string> ModelVersion(const Profile& profile, const Settings& settings) {
  const auto models = Serving(profile);
  if (!models) return std::nullopt;
  return models->versions() + Fingerprint(settings);
}

absl::StatusOr<Profiles> Profiles::Create(const std::string& detector, const std::string& segmenter,
                                          std::string_view text, const Connect& connect,
                                          const Settings& settings) {
  Profiles profiles;
  Clients clients(connect);
  Profile& fallback = profiles.profiles_[""];
  fallback.settings = settings;
  if (absl::Status status = clients.Fill(detector, segmenter, &fallback); !status.ok())
    return status;
  if (text.empty()) return profiles;

  boost::system::error_code error;
  const json::value file = json::parse({text.data(), text.size()}, error);
  if (error || !file.is_object()) {
    return absl::InvalidArgumentError(text::StrCat("not a JSON object of profiles",
                                                   error ? ": " + error.message() : std::string()));
  }
  for (const auto& [name, value] : file.get_object()) {
    auto profile = MakeProfile(name, value, detector, segmenter, settings, clients);
    if (!profile.ok()) {
      return absl::InvalidArgumentError(
          text::StrCat("profile \"", std::string_view(name), "\": ", profile.status().message()));
    }
    profiles.profiles_[profile->name] = *std::move(profile);
  }
  return profiles;
}

std::optional<std::string_view> ProfileName(std::string_view prefix) {
  const std::size_t slash = prefix.rfind('/');
  if (slash == prefix.npos || slash < 2) return std::nullopt;
  const std::string_view before = prefix.substr(0, slash);
  if (before != "/p" && !before.ends_with("/p")) return std::nullopt;
  return prefix.substr(slash + 1);
}

const Profile* Profiles::ForPrefix(std::string_view prefix) const {
  const auto found = profiles_.find(ProfileName(prefix).value_or(""));
  return found == profiles_.end() ? nullptr : &found->second;
}

}  // namespace prelabel
