// A verdict and its figures as JSON, for all kinds of models.
#ifndef DUET_TRAINER_GATE_VERDICT_JSON_H_
#define DUET_TRAINER_GATE_VERDICT_JSON_H_

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <optional>

#include "trainer/gate/paired_bootstrap.h"
#include "trainer/gate/verdict.h"

namespace trainer {

// {"old": 0.41, "new": 0.48, "difference": 0.07, "standard_error": 0.02}; the error is null for a
// single image, and all of it if there is no difference.
boost::json::value ToJson(const std::optional<Difference>& difference);

// {"outcome": "better", "reason": "…", "images_needed": 0, "fallen": [], "perhaps_fallen": []}
boost::json::object ToJson(const Verdict& verdict);

}  // namespace trainer

#endif  // DUET_TRAINER_GATE_VERDICT_JSON_H_
