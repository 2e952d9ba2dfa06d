#include "model_store/rollback.h"

#include "text/str_cat.h"

namespace model_store {

std::string Called(std::uint64_t version) {
  return version == 0 ? "the default model" : text::StrCat("version ", version);
}

absl::StatusOr<RolledBack> RollBack(const ModelStore& store, Kind kind, const std::string& name,
                                    const Rollback& asked) {
  RolledBack done;
  const auto change = [&](const Serving& now) -> absl::StatusOr<Serving> {
    done.before = now.version;
    Serving next = now;
    next.version = asked.version.value_or(now.previous);
    next.by = asked.by;
    next.reason =
        asked.reason.empty() ? text::StrCat("it replaces ", Called(now.version)) : asked.reason;
    if (next.version == now.version) {
      return absl::FailedPreconditionError(
          text::StrCat(name, " is served by ", Called(now.version), " already"));
    }
    if (asked.replaces && *asked.replaces != now.version) {
      return absl::FailedPreconditionError(text::StrCat(name, " is served by ", Called(now.version),
                                                        " by now, no longer by ",
                                                        Called(*asked.replaces)));
    }
    return next;
  };
  const auto serving = store.UpdateServing(kind, name, change);
  if (!serving.ok()) return serving.status();
  done.now = serving->version;
  return done;
}

}  // namespace model_store
