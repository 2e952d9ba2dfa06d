// Finds the objects of an image, by the detector and perhaps the segmenter.
#ifndef DUET_BULK_PRELABEL_WORK_H_
#define DUET_BULK_PRELABEL_WORK_H_

#include <boost/asio/thread_pool.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "backends/client.h"
#include "bulk/head.h"
#include "bulk/image_work.h"
#include "bulk/output.h"
#include "label_studio/result.h"
#include "prelabel/image_objects.h"

namespace bulk {

class PrelabelWork final : public ImageWork {
 public:
  // All outlive it. `segmenter` is null if it doesn't make the masks; `pool` encodes them.
  // `masked_classes`: whose objects it gives masks; nothing: all.
  PrelabelWork(const Head& head, backends::DetectorClient& detector,
               backends::SegmenterClient* segmenter, boost::asio::thread_pool& pool,
               std::optional<ClassNames> masked_classes);

  boost::asio::awaitable<absl::StatusOr<duet::bulk::v1::Record>> Do(
      backends::ImageRef image) override;
  bool ServicesWork() const override;
  absl::Status Check() const override;

 private:
  boost::asio::awaitable<absl::StatusOr<prelabel::ImageObjects>> Find(backends::ImageRef image);
  boost::asio::awaitable<absl::Status> Segment(backends::ImageRef image, backends::CallOptions call,
                                               std::vector<label_studio::Object>* objects);
  absl::StatusOr<duet::bulk::v1::Record> ToRecord(const prelabel::ImageObjects& found) const;

  const Head& head_;
  backends::DetectorClient& detector_;
  backends::SegmenterClient* const segmenter_;
  boost::asio::thread_pool& pool_;
  const std::optional<ClassNames> masked_classes_;
  std::map<std::string, std::uint32_t, std::less<>> class_indices_;
};

}  // namespace bulk

#endif  // DUET_BULK_PRELABEL_WORK_H_
