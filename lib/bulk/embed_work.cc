#include "bulk/embed_work.h"

#include <absl/time/time.h>

#include <chrono>
#include <memory>
#include <utility>

#include "text/str_cat.h"

namespace bulk {

using boost::asio::awaitable;
using duet::bulk::v1::Record;
using text::StrCat;

namespace {

// Of one image, with its wait behind all that is more urgent, and for the store.
constexpr absl::Duration kCallTimeout = absl::Minutes(10);

}  // namespace

awaitable<absl::StatusOr<Record>> EmbedWork::Do(backends::ImageRef image) {
  const std::shared_ptr<const backends::SegmenterModel> model = segmenter_.model();
  if (model == nullptr || model->encoder != head_.encoder) {
    co_return absl::AbortedError("the segmenter serves another model");
  }
  // Of this very version, since another one may have another encoder.
  backends::CallOptions call{
      .deadline = std::chrono::system_clock::now() + absl::ToChronoSeconds(kCallTimeout),
      .priority = serving::Priority::kStock,
      .model = model->served_as,
      .version = model->version,
      .keep = true};
  auto embedding = segmenter_.Embed(std::move(image), std::move(call));
  const auto embedded = co_await std::move(embedding);
  if (!embedded.ok()) co_return embedded.status();
  if (embedded->kept_bytes() == 0) {
    co_return absl::FailedPreconditionError(
        "a segmenter of an older release has answered, which doesn't say whether it keeps what it "
        "encodes");
  }
  Record record;
  record.mutable_embedded()->set_bytes(embedded->kept_bytes());
  record.mutable_embedded()->set_was_there(embedded->cached());
  co_return record;
}

absl::Status EmbedWork::Check() const {
  const std::shared_ptr<const backends::SegmenterModel> model = segmenter_.model();
  if (model == nullptr || model->encoder == head_.encoder) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat("the segmenter has the encoder ", model->encoder, " now, which finds nothing of what ",
             head_.encoder,
             " has encoded; needed: the model that the run was begun with, or another --out"));
}

}  // namespace bulk
