// Settings as JSON, for who keeps them in a file.
#ifndef DUET_PRELABEL_SETTINGS_JSON_H_
#define DUET_PRELABEL_SETTINGS_JSON_H_

#include <boost/json/object.hpp>

#include "prelabel/settings.h"

namespace prelabel {

// All that `settings` say, under the keys of settings.h: Refine makes them of it again. What is
// absent has no key.
boost::json::object ToJson(const Settings& settings);

}  // namespace prelabel

#endif  // DUET_PRELABEL_SETTINGS_JSON_H_
