// What replicas say of their models, and what is made known of it. Internal to backends.
#ifndef DUET_BACKENDS_MODEL_OFFER_H_
#define DUET_BACKENDS_MODEL_OFFER_H_

#include <set>
#include <string>
#include <vector>

#include "backends/client.h"
#include "backends/replica_set.h"

namespace backends {

// What a replica tells.
struct ModelOffer {
  // By name, the versions that it serves, or would after loading what it has dropped.
  Replica::Versions versions;
  std::vector<NameStatus> names;
  // False: it told nothing of names this time, so that what it told before holds.
  bool has_told_names = true;
  // Something could not be found out, and may be a moment later.
  bool ask_again = false;
};

// What is announced of all of them: by name, the version to ask for; and names that are served by a
// model that isn't known yet.
struct ModelAnnouncement {
  Replica::Versions versions;
  std::set<std::string> unknown;
  // False: no replica has told its names, so any other name may have a model, too.
  bool has_all_names = false;
};

}  // namespace backends

#endif  // DUET_BACKENDS_MODEL_OFFER_H_
