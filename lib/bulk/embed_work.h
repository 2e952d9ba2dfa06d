// Has an image encoded by the segmenter, and its embedding kept in the segmenter's store.
#ifndef DUET_BULK_EMBED_WORK_H_
#define DUET_BULK_EMBED_WORK_H_

#include <absl/status/status.h>

#include "backends/client.h"
#include "bulk/head.h"
#include "bulk/image_work.h"

namespace bulk {

class EmbedWork final : public ImageWork {
 public:
  // Both outlive it.
  EmbedWork(const Head& head, backends::SegmenterClient& segmenter)
      : head_(head), segmenter_(segmenter) {}

  // Aborted also while the store can't take the embedding.
  boost::asio::awaitable<absl::StatusOr<duet::bulk::v1::Record>> Do(
      backends::ImageRef image) override;
  bool ServicesWork() const override { return segmenter_.health().reachable; }
  absl::Status Check() const override;

 private:
  const Head& head_;
  backends::SegmenterClient& segmenter_;
};

}  // namespace bulk

#endif  // DUET_BULK_EMBED_WORK_H_
