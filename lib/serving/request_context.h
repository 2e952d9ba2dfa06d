// What belongs to one request and is passed down explicitly: the id that joins the log lines of the
// three processes, the trace that it is part of, and what is worth noting in its one log line.
#ifndef DUET_SERVING_REQUEST_CONTEXT_H_
#define DUET_SERVING_REQUEST_CONTEXT_H_

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "serving/log.h"

namespace serving {

// The headers' names, for HTTP and gRPC alike (lower case).
inline constexpr char kRequestIdHeader[] = "x-request-id";
inline constexpr char kTraceparentHeader[] = "traceparent";

// Thread-safe.
class RequestContext {
 public:
  // Takes over what the caller sent if it is well-formed: an id of 1 to 128 characters from
  // [A-Za-z0-9._-], a W3C traceparent of version 00. Otherwise the id is made (32 random hex
  // digits), the trace left empty.
  explicit RequestContext(std::string_view request_id = {}, std::string_view traceparent = {});
  RequestContext(const RequestContext&) = delete;
  RequestContext& operator=(const RequestContext&) = delete;

  const std::string& request_id() const { return request_id_; }
  // Empty, or "00-<32 hex>-<16 hex>-<2 hex>", to be passed on unchanged.
  const std::string& traceparent() const { return traceparent_; }

  // Adds a field to the line that is logged when the request is done.
  void NoteInt(std::string_view key, std::int64_t value);
  void NoteNum(std::string_view key, double value);
  void NoteBool(std::string_view key, bool value);
  void NoteStr(std::string_view key, std::string_view value);
  LogFields notes() const;

 private:
  const std::string request_id_;
  const std::string traceparent_;
  mutable std::mutex mutex_;
  LogFields notes_;  // guarded by mutex_
};

}  // namespace serving

#endif  // DUET_SERVING_REQUEST_CONTEXT_H_
