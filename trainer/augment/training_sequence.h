// The endless sequence of images that a detector learns from: mmdet's pipelines over a source.
//
// The n-th image is a function of the source, the recipe, the seed and n, and of nothing else. So a
// training goes on at any n without a state to restore, and any number of threads makes the same
// images. What mmdet's CachedMosaic and CachedMixUp keep from image to image is here a window of
// numbers before n: the caches that drop their oldest entry hold just that (`random_pop=False`, as
// in the configs for tiny). The others drop a random one, so that they reach farther back here and
// there; which image meets which is left to chance either way.
//
// Speed comes from memory: images as they stand in a mosaic, which is all that a mosaic needs of
// them, however large the files are; and results of the last numbers, for mixing.
#ifndef DUET_TRAINER_AUGMENT_TRAINING_SEQUENCE_H_
#define DUET_TRAINER_AUGMENT_TRAINING_SEQUENCE_H_

#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "trainer/augment/image_order.h"
#include "trainer/augment/recipe.h"
#include "trainer/augment/shared_memory.h"
#include "trainer/augment/transforms.h"
#include "trainer/samples/image_source.h"

namespace trainer {

struct SequenceOptions {
  std::uint64_t seed = 1;
  // The first number that the plain pipeline makes; that is the first of an epoch, upstream.
  std::uint64_t plain_from = ~std::uint64_t{0};
  // Of images kept, besides those that are in work: some two hundred as they stand in a mosaic of
  // 640. Less costs a little time, since a file is decoded again.
  std::size_t memory_bytes = std::size_t{256} << 20;
};

// Thread-safe.
class TrainingSequence {
 public:
  // `source` must outlive this.
  TrainingSequence(const ImageSource& source, const Recipe& recipe, const SequenceOptions& options);

  // How many images an epoch has: those of the source.
  std::size_t epoch_size() const { return source_.size(); }

  // A square of the recipe's side, with at least one object unless the recipe allows none. An image
  // whose file is missing or damaged, or whose size isn't the annotated one, is replaced by the
  // source's next one from then on, and counted. All other errors of the source are this call's,
  // since they may be gone the next time: a machine without memory or file descriptors must not
  // take images out of a training. FailedPrecondition if none of the source's images can be loaded,
  // if it has none, or if the thousandth crop in a row has no object; ResourceExhausted without
  // memory.
  absl::StatusOr<TrainingImage> Load(std::uint64_t n) const;

  // What was wrong with the images that are replaced, by index.
  std::map<std::size_t, std::string> Unloadable() const;
  // How many those are. Cheap enough to be asked after each step.
  std::size_t unloadable_count() const;

 private:
  using FramePointer = std::shared_ptr<const Frame>;
  // What comes before mixing, and which attempt gave it: mmdet takes another image where a crop has
  // no object.
  struct Unmixed {
    Frame frame;
    std::uint64_t attempt = 0;
  };
  using UnmixedPointer = std::shared_ptr<const Unmixed>;

  // As it was loaded, or as it stands in a mosaic of this side (0: as loaded).
  absl::StatusOr<FramePointer> Image(std::size_t index, int mosaic_side, bool masks) const;
  absl::StatusOr<FramePointer> LoadFrame(std::size_t index, int mosaic_side, bool masks) const;
  absl::StatusOr<Frame> Gathered(const Pipeline& pipeline, std::uint64_t n, std::uint64_t attempt,
                                 Random& random) const;
  // From `attempt` on.
  absl::StatusOr<UnmixedPointer> MakeUnmixed(const Pipeline& pipeline, std::uint64_t n,
                                             std::uint64_t attempt) const;
  absl::StatusOr<UnmixedPointer> KeptUnmixed(const Pipeline& pipeline, std::uint64_t n) const;
  absl::StatusOr<Frame> Mixed(const Pipeline& pipeline, std::uint64_t n,
                              const Unmixed& unmixed) const;
  absl::StatusOr<Frame> Make(std::uint64_t n) const;

  const ImageSource& source_;
  const Recipe recipe_;
  const SequenceOptions options_;
  const ImageOrder order_;
  mutable SharedMemory<Frame> images_;
  mutable SharedMemory<Unmixed> unmixed_;
  mutable std::mutex mutex_;
  mutable std::map<std::size_t, std::string> unloadable_;  // guarded by mutex_
};

}  // namespace trainer

#endif  // DUET_TRAINER_AUGMENT_TRAINING_SEQUENCE_H_
