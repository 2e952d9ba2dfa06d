// A version in the making: a folder below its name, which only this object knows as one.
#ifndef DUET_MODEL_STORE_STAGING_H_
#define DUET_MODEL_STORE_STAGING_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <string>

#include "model_store/manifest.h"

namespace model_store {

// Movable. Not thread-safe.
class Staging {
 public:
  Staging(Staging&&) noexcept;
  Staging& operator=(Staging&&) = delete;
  // Removes it, unless it was published.
  ~Staging();

  // Where the caller puts the version's files: model.pth and others, no folders and no links.
  const std::string& folder() const;

  // Makes the files durable, writes the manifest and lets the version appear under the next number,
  // which it returns. Filled in here: kind, name, version, created and files. InvalidArgument if
  // model.pth is missing, for what is no regular file, and for scores outside of 0 to 1;
  // OutOfRange: there is no higher number. After an error nothing has appeared. Call once, last.
  absl::StatusOr<std::uint64_t> Publish(Manifest manifest);

 private:
  friend class ModelStore;
  struct State;
  explicit Staging(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;  // null once published or moved from
};

}  // namespace model_store

#endif  // DUET_MODEL_STORE_STAGING_H_
