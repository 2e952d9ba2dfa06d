// Profiles: which pair of models serves which backend URL, and with which settings.
//
// http://host:8003 is the default profile, made from flags; http://host:8003/p/NAME is NAME of the
// profiles file:
//   {"street": {"detector": "10.0.0.7:50051", "segmenter": "10.0.0.8:50052",
//               "score_threshold": 0.3}}
// A service that a profile doesn't name is the default's; "" is none. Further keys: settings.h.
#ifndef DUET_PRELABEL_PROFILES_H_
#define DUET_PRELABEL_PROFILES_H_

#include <absl/status/statusor.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backends/client.h"
#include "prelabel/settings.h"

namespace prelabel {

struct Profile {
  std::string name;  // "" is the default
  // Null if the profile has none. Profiles with equal targets share a client.
  std::shared_ptr<backends::DetectorClient> detector;
  std::shared_ptr<backends::SegmenterClient> segmenter;
  Settings settings;
};

// The models that a profile's services serve (backends/client.h) at one moment. Null where the
// profile has no such service.
struct ServedModels {
  std::shared_ptr<const backends::DetectorModel> detector;
  std::shared_ptr<const backends::SegmenterModel> segmenter;

  // Both versions, each followed by "+".
  std::string versions() const;
};

// The models that answer for a name (backends/client.h): each service's own of that name, or its
// default. Nothing until each service of the profile has told it.
std::optional<ServedModels> Serving(const Profile& profile,
                                    const std::string& name = backends::kDefaultModel);

// The same for those who only look: no model is loaded because of it.
std::optional<ServedModels> KnownServing(const Profile& profile, const std::string& name);

// Whose annotations made the models that the profile's services serve under the name.
std::vector<backends::ModelOwner> OwnersOf(const Profile& profile, const std::string& name);

// Whether one of the profile's services serves a model of its own under the name.
bool HasModel(const Profile& profile, const std::string& name);
// The versions (ServedModels::versions) that the profile's services answer with now, of all names.
std::vector<std::string> AllVersions(const Profile& profile);

// For a project whose label config isn't known: both models' versions (which name them) and the
// settings' fingerprint. If it is known, /setup and predictions carry Project::ModelVersion.
std::optional<std::string> ModelVersion(const Profile& profile, const Settings& settings);

class Profiles {
 public:
  // Make a client for targets ("host:port,..."); called once for equal targets.
  struct Connect {
    std::function<absl::StatusOr<std::shared_ptr<backends::DetectorClient>>(const std::string&)>
        detector;
    std::function<absl::StatusOr<std::shared_ptr<backends::SegmenterClient>>(const std::string&)>
        segmenter;
  };

  // `json`: the profiles file's content, "" for none. `settings`: the default profile's, which the
  // others refine. InvalidArgument names the profile and the key.
  static absl::StatusOr<Profiles> Create(const std::string& detector, const std::string& segmenter,
                                         std::string_view json, const Connect& connect,
                                         const Settings& settings = {});

  // By the prefix of a path: ending in "/p/NAME", that profile or null; otherwise the default.
  const Profile* ForPrefix(std::string_view prefix) const;
  const Profile& default_profile() const { return profiles_.at(""); }
  // By name.
  const std::map<std::string, Profile, std::less<>>& all() const { return profiles_; }

 private:
  std::map<std::string, Profile, std::less<>> profiles_;
};

// NAME of a prefix that ends in "/p/NAME".
std::optional<std::string_view> ProfileName(std::string_view prefix);

}  // namespace prelabel

#endif  // DUET_PRELABEL_PROFILES_H_
