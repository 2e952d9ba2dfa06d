// The sidecar file: a JSON object beside a checkpoint ("sam2.1_a.pth" → "sam2.1_a.pth.json") with
// what the checkpoint doesn't tell about its network, such as
// {"num_heads": 1, "window_spec": [8, 4, 14, 7]}. For reduced and custom models; official ones need
// none. Knows no Torch.
#ifndef DUET_SEGMENTER_SERVICE_MODELING_SIDECAR_H_
#define DUET_SEGMENTER_SERVICE_MODELING_SIDECAR_H_

#include <absl/status/status.h>
#include <absl/strings/string_view.h>

#include <boost/json/object.hpp>
#include <cstdint>
#include <string>
#include <vector>

namespace segmenter {

// Each `Read` leaves `value` unchanged if the object doesn't have the key. Keys that are not read
// are ignored (upstream's configs have many). Remembers the first error.
class Sidecar {
 public:
  // `text`: the file, or empty if there is none.
  explicit Sidecar(absl::string_view text);

  bool Has(absl::string_view key) const { return object_.contains({key.data(), key.size()}); }
  void Read(absl::string_view key, std::int64_t from, std::int64_t to, std::int64_t* value);
  // `size` numbers, or any number of them (up to 1024) if it is 0.
  void Read(absl::string_view key, std::size_t size, std::int64_t from, std::int64_t to,
            std::vector<std::int64_t>* value);
  void Read(absl::string_view key, float* value);
  void Read(absl::string_view key, bool* value);

  // InvalidArgument, beginning with "the sidecar file".
  const absl::Status& status() const { return status_; }

 private:
  void SetError(absl::string_view key, absl::string_view needed);

  boost::json::object object_;
  absl::Status status_;
};

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_MODELING_SIDECAR_H_
