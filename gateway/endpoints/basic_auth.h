// HTTP basic authentication (RFC 7617) that doesn't tell by its duration how much was right.
#ifndef DUET_GATEWAY_ENDPOINTS_BASIC_AUTH_H_
#define DUET_GATEWAY_ENDPOINTS_BASIC_AUTH_H_

#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "hash/sha256.h"
#include "serving/secret.h"

namespace gateway::endpoints {

// Thread-safe.
class BasicAuth {
 public:
  // REQUIRES: `password` is not null. One that changes (a file's) is followed.
  BasicAuth(std::string user, std::shared_ptr<const serving::Secret> password);

  // `authorization`: the header's value.
  bool Accepts(std::string_view authorization) const;

 private:
  // Of "user:password", made once a password.
  hash::Sha256Digest Wanted() const;

  const std::string user_;
  const std::shared_ptr<const serving::Secret> password_;
  mutable std::mutex mutex_;
  mutable std::string hashed_password_;     // guarded by mutex_; what wanted_ is of
  mutable hash::Sha256Digest wanted_ = {};  // guarded by mutex_
};

}  // namespace gateway::endpoints

#endif  // DUET_GATEWAY_ENDPOINTS_BASIC_AUTH_H_
