// Files and S3 objects alike: read in parts, and put in place as a whole.
//
// An address is a path, or "s3://bucket/key" of the store that AWS's own variables or profile name;
// `network` is how it is reached (null: Network::Default()). Calls wait for the answer. Errors, one
// sentence that names the address: NotFound, PermissionDenied, Unauthenticated (the keys are of no
// use), FailedPrecondition (no keys, no such bucket), InvalidArgument, DataLoss; and Unavailable,
// DeadlineExceeded and ResourceExhausted, which are worth another try.
#ifndef DUET_BULK_STORED_OBJECT_H_
#define DUET_BULK_STORED_OBJECT_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulk/patience.h"
#include "http_client/network.h"

namespace bulk {

class StoredObject {
 public:
  static absl::StatusOr<std::unique_ptr<StoredObject>> Open(
      const std::string& address, std::shared_ptr<http_client::Network> network);
  virtual ~StoredObject() = default;

  std::uint64_t size() const { return size_; }  // bytes
  const std::string& address() const { return address_; }
  // The bytes from `offset` on; fewer than `count` only at the end.
  virtual absl::StatusOr<std::string> Read(std::uint64_t offset, std::uint64_t count) = 0;

 protected:
  StoredObject(std::string address, std::uint64_t size)
      : address_(std::move(address)), size_(size) {}

 private:
  const std::string address_;
  const std::uint64_t size_;
};

// Reads a part of an object from front to back.
class ObjectStream {
 public:
  // From `begin` up to `end`, `block` bytes at a time. `object` outlives the stream.
  ObjectStream(StoredObject& object, std::uint64_t begin, std::uint64_t end,
               std::uint64_t block = std::uint64_t{4} << 20)
      : object_(object), next_(begin), end_(end), block_(block) {}

  // Where the next byte is.
  std::uint64_t offset() const { return next_ - (buffer_.size() - at_); }
  // Exactly so many bytes, valid until the next call. DataLoss if there are fewer.
  absl::StatusOr<std::string_view> Take(std::uint64_t count);
  // What stands before the next line end, and takes that as well. DataLoss if there is none.
  absl::StatusOr<std::string_view> Line();

 private:
  // Reads on; false at the end.
  absl::StatusOr<bool> Fill(std::uint64_t least);

  StoredObject& object_;
  std::uint64_t next_;
  const std::uint64_t end_;
  const std::uint64_t block_;
  std::string buffer_;
  std::size_t at_ = 0;  // of the next byte in buffer_
};

// The object appears under its address when all of `file` is there, in place of another one.
absl::Status PutObject(const std::string& file, const std::string& address,
                       std::shared_ptr<http_client::Network> network);

// The address of something called `name` below a folder, or a prefix in a bucket.
std::string AddressBelow(const std::string& folder, std::string_view name);

// The names of what lies directly below a folder, or a prefix in a bucket, and ends in `ending`,
// sorted. A bucket that is away is waited for.
absl::StatusOr<std::vector<std::string>> ListBelow(const std::string& folder,
                                                   std::string_view ending,
                                                   std::shared_ptr<http_client::Network> network,
                                                   const Patience& patience);

bool IsS3Address(std::string_view address);

}  // namespace bulk

#endif  // DUET_BULK_STORED_OBJECT_H_
