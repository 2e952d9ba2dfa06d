#include "trainer/augment/training_sequence.h"

#include <algorithm>
#include <array>
#include <exception>
#include <new>
#include <opencv2/core.hpp>
#include <utility>

#include "text/str_cat.h"

namespace trainer {
namespace {

using text::StrCat;

// BaseDataset.max_refetch.
constexpr std::uint64_t kMaxAttempts = 1000;
// CachedMixUp.max_iters: how often it looks for a partner with objects.
constexpr int kMaxPartners = 15;
// CachedMosaic makes none before it has more images than this.
constexpr std::uint64_t kMosaicImages = 4;

// How many entries a cache that holds the last `limit` has after the n-th.
std::uint64_t Cached(std::uint64_t n, int limit) {
  return std::min<std::uint64_t>(n + 1, static_cast<std::uint64_t>(limit));
}

// One of the entries of such a cache but for n itself, the last one, which numpy's
// randint(0, len - 1) never gives. REQUIRES: Cached(n, limit) > 1.
std::uint64_t Pick(Random& random, std::uint64_t n, int limit) {
  return n - static_cast<std::uint64_t>(random.Integer(1, static_cast<int>(Cached(n, limit)) - 1));
}

std::array<int, 3> DrawGains(const Pipeline& pipeline, Random& random) {
  std::array<int, 3> gains = {};
  const std::array<int, 3> deltas = {pipeline.hue_delta, pipeline.saturation_delta,
                                     pipeline.value_delta};
  for (std::size_t i = 0; i < gains.size(); ++i) {
    const double gain = random.Uniform(-1, 1) * deltas[i];
    if (random.Chance(0.5)) gains[i] = static_cast<int>(gain);  // towards 0, as int16 is made
  }
  return gains;
}

// Whether an error is about the image itself and will come again, rather than about the machine.
bool IsOfTheImage(absl::StatusCode code) {
  return code == absl::StatusCode::kDataLoss || code == absl::StatusCode::kNotFound ||
         code == absl::StatusCode::kFailedPrecondition ||
         code == absl::StatusCode::kInvalidArgument || code == absl::StatusCode::kPermissionDenied;
}

cv::Rect DrawWindow(cv::Size image, int side, Random& random) {
  const cv::Size window(std::min(side, image.width), std::min(side, image.height));
  const int y = random.Integer(0, image.height - window.height);
  const int x = random.Integer(0, image.width - window.width);
  return {x, y, window.width, window.height};
}

}  // namespace

TrainingSequence::TrainingSequence(const ImageSource& source, const Recipe& recipe,
                                   const SequenceOptions& options)
    : source_(source),
      recipe_(recipe),
      options_(options),
      order_(std::max<std::size_t>(source.size(), 1), options.seed),
      images_(options.memory_bytes),
      unmixed_(options.memory_bytes / 4) {}

absl::StatusOr<TrainingImage> TrainingSequence::Load(std::uint64_t n) const {
  if (source_.size() == 0) return absl::FailedPreconditionError("there are no images to train on");
  try {
    const absl::StatusOr<Frame> frame = Make(n);
    if (!frame.ok()) return frame.status();
    return ToTrainingImage(*frame);
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(StrCat("no memory to make training image ", n));
  } catch (const cv::Exception& e) {
    // OpenCV says so when it has no memory.
    return absl::ResourceExhaustedError(StrCat("cannot make training image ", n, ": ", e.what()));
  }
}

std::map<std::size_t, std::string> TrainingSequence::Unloadable() const {
  const std::lock_guard lock(mutex_);
  return unloadable_;
}

std::size_t TrainingSequence::unloadable_count() const {
  const std::lock_guard lock(mutex_);
  return unloadable_.size();
}

absl::StatusOr<TrainingSequence::FramePointer> TrainingSequence::LoadFrame(std::size_t index,
                                                                           int mosaic_side,
                                                                           bool masks) const {
  const auto make = [&]() -> absl::StatusOr<FramePointer> {
    const absl::StatusOr<TrainingImage> loaded = source_.Load(index);
    if (!loaded.ok()) return loaded.status();
    Frame frame = ToFrame(*loaded, masks);
    if (mosaic_side > 0) frame = MosaicTile(frame, mosaic_side);
    return std::make_shared<const Frame>(std::move(frame));
  };
  // An index has two entries: the tile, and the image as it was loaded.
  return images_.Get(2 * index + (mosaic_side > 0 ? 1 : 0), make, BytesOf);
}

absl::StatusOr<TrainingSequence::FramePointer> TrainingSequence::Image(std::size_t index,
                                                                       int mosaic_side,
                                                                       bool masks) const {
  for (std::size_t i = 0; i < source_.size(); ++i) {
    const std::size_t at = (index + i) % source_.size();
    {
      const std::lock_guard lock(mutex_);
      if (unloadable_.contains(at)) continue;
    }
    absl::StatusOr<FramePointer> frame = LoadFrame(at, mosaic_side, masks);
    if (frame.ok() || !IsOfTheImage(frame.status().code())) return frame;
    const std::lock_guard lock(mutex_);
    unloadable_.emplace(at, std::string(frame.status().message()));
  }
  const std::lock_guard lock(mutex_);
  return absl::FailedPreconditionError(
      StrCat("none of ", source_.size(),
             " images can be loaded; the first: ", unloadable_.begin()->second));
}

absl::StatusOr<Frame> TrainingSequence::Gathered(const Pipeline& pipeline, std::uint64_t n,
                                                 std::uint64_t attempt, Random& random) const {
  const std::size_t index =
      attempt == 0 ? order_.At(n) : static_cast<std::size_t>(random.Next() % source_.size());
  if (!pipeline.mosaic || Cached(n, pipeline.mosaic_cache) <= kMosaicImages) {
    absl::StatusOr<FramePointer> image = Image(index, 0, pipeline.masks);
    if (!image.ok()) return image.status();
    return **image;
  }
  std::array<FramePointer, kMosaicImages> tiles;
  std::array<const Frame*, kMosaicImages> frames = {};
  for (std::size_t i = 0; i < tiles.size(); ++i) {
    const std::size_t at = i == 0 ? index : order_.At(Pick(random, n, pipeline.mosaic_cache));
    absl::StatusOr<FramePointer> tile = Image(at, pipeline.side, pipeline.masks);
    if (!tile.ok()) return tile.status();
    tiles[i] = *std::move(tile);
    frames[i] = tiles[i].get();
  }
  const auto coordinate = [&] {
    return static_cast<int>(random.Uniform(0.5, 1.5) * pipeline.side);
  };
  const int x = coordinate();
  const int y = coordinate();
  return Mosaic(frames, {x, y}, pipeline.side, pipeline.pad_value);
}

absl::StatusOr<TrainingSequence::UnmixedPointer> TrainingSequence::MakeUnmixed(
    const Pipeline& pipeline, std::uint64_t n, std::uint64_t attempt) const {
  for (; attempt < kMaxAttempts; ++attempt) {
    Random random = RandomFor(options_.seed, "image", n, attempt);
    absl::StatusOr<Frame> frame = Gathered(pipeline, n, attempt, random);
    if (!frame.ok()) return frame.status();
    const double ratio = random.Uniform(pipeline.min_resize_ratio, pipeline.max_resize_ratio);
    *frame = Resized(*frame, std::max(1, static_cast<int>(pipeline.resize_scale * ratio)));
    *frame = Cropped(*frame, DrawWindow(frame->image.size(), pipeline.side, random),
                     pipeline.recompute_boxes);
    if (frame->objects.empty() && !pipeline.allow_negative_crop) continue;
    frame->image = frame->image.clone();
    ShiftColours(DrawGains(pipeline, random), &frame->image);
    if (random.Chance(pipeline.flip_probability)) *frame = FlippedFrame(*frame);
    *frame = Padded(*frame, pipeline.side, pipeline.pad_value);
    return std::make_shared<const Unmixed>(Unmixed{*std::move(frame), attempt});
  }
  return absl::FailedPreconditionError(
      StrCat(kMaxAttempts, " crops in a row are without an object: of training image ", n,
             " and of others in its place; are most images without objects, or are these tiny?"));
}

absl::StatusOr<TrainingSequence::UnmixedPointer> TrainingSequence::KeptUnmixed(
    const Pipeline& pipeline, std::uint64_t n) const {
  return unmixed_.Get(
      n, [&] { return MakeUnmixed(pipeline, n, 0); },
      [](const Unmixed& unmixed) { return BytesOf(unmixed.frame); });
}

absl::StatusOr<Frame> TrainingSequence::Mixed(const Pipeline& pipeline, std::uint64_t n,
                                              const Unmixed& unmixed) const {
  Random random = RandomFor(options_.seed, "mixup", n, unmixed.attempt);
  if (Cached(n, pipeline.mixup_cache) <= 1 || !random.Chance(pipeline.mixup_probability)) {
    return unmixed.frame;
  }
  UnmixedPointer partner;
  for (int i = 0; i < kMaxPartners && (partner == nullptr || partner->frame.objects.empty()); ++i) {
    absl::StatusOr<UnmixedPointer> picked =
        KeptUnmixed(pipeline, Pick(random, n, pipeline.mixup_cache));
    if (!picked.ok()) return picked.status();
    partner = *std::move(picked);
  }
  if (partner->frame.objects.empty()) return unmixed.frame;
  MixUpChoice choice;
  choice.ratio = random.Uniform(pipeline.min_mixup_ratio, pipeline.max_mixup_ratio);
  choice.flip = random.Uniform(0, 1) > pipeline.mixup_flip_ratio;
  // The largest offset is never drawn: numpy's randint leaves out its upper end.
  const int offsets = std::max(MixUpSide(pipeline.side, choice.ratio) - pipeline.side, 1);
  choice.offset.y = random.Integer(0, offsets - 1);
  choice.offset.x = random.Integer(0, offsets - 1);
  return MixedUp(unmixed.frame, partner->frame, choice, pipeline.side, pipeline.pad_value);
}

absl::StatusOr<Frame> TrainingSequence::Make(std::uint64_t n) const {
  const Pipeline& pipeline = n < options_.plain_from ? recipe_.first : recipe_.plain;
  const bool mixes = pipeline.mixup_probability > 0;
  for (std::uint64_t attempt = 0;;) {
    const absl::StatusOr<UnmixedPointer> unmixed =
        mixes && attempt == 0 ? KeptUnmixed(pipeline, n) : MakeUnmixed(pipeline, n, attempt);
    if (!unmixed.ok()) return unmixed.status();
    absl::StatusOr<Frame> frame = Mixed(pipeline, n, **unmixed);
    if (!frame.ok()) return frame.status();
    if (!pipeline.filter_small_boxes || FilterSmallBoxes(&*frame)) return frame;
    attempt = (*unmixed)->attempt + 1;
  }
}

}  // namespace trainer
