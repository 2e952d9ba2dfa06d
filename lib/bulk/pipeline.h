// Pipeline takes the images that a journal lacks through the services, many at a time, and appends
// what becomes of them in the manifest's order.
//
// What fails for a reason that may pass is tried again: a service that restarts, a bucket that is
// away and a full disk make the run wait, and it says so. An image that fails again and again
// although the services answer, or other images can be had, is given up with a sentence in the
// journal; so is one that is damaged.
#ifndef DUET_BULK_PIPELINE_H_
#define DUET_BULK_PIPELINE_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string_view>

#include "backends/client.h"
#include "bulk/head.h"
#include "bulk/image_loader.h"
#include "bulk/image_work.h"
#include "bulk/journal.h"
#include "bulk/manifest.h"

namespace bulk {

// Is told how a run goes. Called on the pipeline's thread.
class Reporter {
 public:
  virtual ~Reporter() = default;
  // Several times a second. `images`: of the whole run.
  virtual void Progress(const Totals& totals, std::uint64_t images) = 0;
  virtual void Failed(const Item& item, const duet::bulk::v1::Failure& failure) = 0;
  // What is to be known before it begins.
  virtual void Says(std::string_view sentence) = 0;
  // The run waits; the sentence says for what.
  virtual void Waits(std::string_view sentence) = 0;
  virtual void GoesOn(absl::Duration waited) = 0;
};

class Pipeline {
 public:
  struct Options {
    int in_flight = 16;  // images at a time
    std::uint64_t max_failures = std::numeric_limits<std::uint64_t>::max();
    absl::Duration patience = absl::Hours(1);
  };
  // All outlive the pipeline.
  struct Parts {
    boost::asio::io_context& io;
    ImageLoader& images;
    ImageWork& work;
    Journal& journal;
    Reporter& reporter;
  };

  // `manifest`: read on from where the journal is.
  Pipeline(const Head& head, Parts parts, ManifestReader manifest, const Options& options);

  // Runs the io_context on this thread until all images are in the journal. Or ends earlier, with
  // what is done in the journal: Cancelled (SIGINT or SIGTERM), the errors of ImageWork::Check,
  // FailedPrecondition (the source refuses its keys), ResourceExhausted (more than max_failures),
  // Unavailable (waited for longer than `patience`), errors of the file system.
  absl::Status Run();

 private:
  using Record = duet::bulk::v1::Record;

  // Something that an image needs, and that may be away: the services, or the source.
  struct Need {
    // Whether it isn't away, so that what fails is the image's own trouble.
    std::function<boost::asio::awaitable<bool>()> works;
    std::optional<absl::Time> away_since = std::nullopt;
    bool told = false;
    bool one_alone = false;  // an image that has failed while it worked is being tried again
  };
  struct Done {
    Item item;
    Record record;
    ManifestReader::Place next;
  };

  boost::asio::awaitable<void> Worker();
  boost::asio::awaitable<void> Writer();
  boost::asio::awaitable<void> TellProgress();
  // Nothing if the run ends.
  boost::asio::awaitable<std::optional<Record>> Process(const Item& item);
  boost::asio::awaitable<bool> SourceWorks();
  boost::asio::awaitable<bool> ServicesWork();
  // Repeats `attempt` until it succeeds, fails for good, or has failed some times while what it
  // needs works. From the second of these times on, one image at a time.
  template <typename T>
  boost::asio::awaitable<absl::StatusOr<T>> Patiently(
      Need& need, std::function<boost::asio::awaitable<absl::StatusOr<T>>()> attempt);
  // The work; ends the run if it can't go on.
  boost::asio::awaitable<absl::StatusOr<Record>> Do(backends::ImageRef image);
  // Appends what is done to the journal; waits for room on the disk.
  boost::asio::awaitable<absl::Status> Write(const Done& done);
  boost::asio::awaitable<void> Pause(absl::Duration duration);
  void Away(Need& need, const absl::Status& status);
  void Back(Need& need);
  void End(absl::Status status);

  const Head& head_;
  const Parts parts_;
  ManifestReader manifest_;
  const Options options_;
  const std::uint64_t window_;  // images that may be done or in flight, and not written
  Need source_;
  Need services_;
  Need disk_;
  std::optional<Item> last_loaded_;
  std::map<std::uint64_t, Done> done_;  // by index
  int workers_ = 0;                     // that haven't ended
  boost::asio::steady_timer wake_writer_;
  boost::asio::steady_timer wake_workers_;
  absl::Time last_sync_;
  absl::Status status_;
  bool ended_ = false;
};

}  // namespace bulk

#endif  // DUET_BULK_PIPELINE_H_
