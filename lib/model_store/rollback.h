// Another version of a name serves, because somebody says so: mostly the one that served before.
#ifndef DUET_MODEL_STORE_ROLLBACK_H_
#define DUET_MODEL_STORE_ROLLBACK_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <string>

#include "model_store/model_store.h"

namespace model_store {

struct Rollback {
  // What is to serve; 0: the default model. Nothing: what served before.
  std::optional<std::uint64_t> version = std::nullopt;
  // What serves as far as the asker knows. Nothing: whatever it is.
  std::optional<std::uint64_t> replaces = std::nullopt;
  std::string by;           // for people, and the log
  std::string reason = "";  // "": a sentence that says what is replaced
};

struct RolledBack {
  std::uint64_t before = 0;
  std::uint64_t now = 0;
};

// "version 3", or "the default model" of 0.
std::string Called(std::uint64_t version);

// Errors and what they leave behind are UpdateServing's; FailedPrecondition, too, if that version
// serves already, or something else serves by now than what the asker knows.
absl::StatusOr<RolledBack> RollBack(const ModelStore& store, Kind kind, const std::string& name,
                                    const Rollback& asked);

}  // namespace model_store

#endif  // DUET_MODEL_STORE_ROLLBACK_H_
