#include "trainer/augment/batch_loader.h"

#include <absl/status/status.h>

#include <algorithm>
#include <new>
#include <system_error>
#include <utility>

#include "text/str_cat.h"

namespace trainer {
namespace {

using text::StrCat;

absl::Status StatusOf(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("no memory to make training images");
  } catch (const std::system_error& e) {
    return absl::ResourceExhaustedError(
        StrCat("no thread can be started to make training images: ", e.what()));
  } catch (const std::exception& e) {
    return absl::InternalError(StrCat("cannot make training images: ", e.what()));
  } catch (...) {
    return absl::InternalError("cannot make training images: unknown exception");
  }
}

}  // namespace

std::uint64_t BatchesPerEpoch(std::size_t epoch_size, int batch_size) {
  const auto size = static_cast<std::uint64_t>(batch_size);
  return (epoch_size + size - 1) / size;
}

BatchLoader::BatchLoader(const TrainingSequence& sequence, const LoaderOptions& options)
    : sequence_(sequence),
      options_(options),
      next_batch_(options.first_batch),
      next_image_(RangeOf(options.first_batch).first) {
  try {
    threads_.reserve(static_cast<std::size_t>(options.threads));
    for (int i = 0; i < options.threads; ++i) threads_.emplace_back([this] { Run(); });
  } catch (...) {
    // Fewer threads make the same images.
    if (threads_.empty()) failure_ = std::current_exception();
  }
}

BatchLoader::~BatchLoader() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wanted_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

BatchLoader::Range BatchLoader::RangeOf(std::uint64_t batch) const {
  const std::uint64_t images = std::max<std::uint64_t>(sequence_.epoch_size(), 1);
  const std::uint64_t batches = BatchesPerEpoch(images, options_.batch_size);
  const auto size = static_cast<std::uint64_t>(options_.batch_size);
  const std::uint64_t epoch_begin = batch / batches * images;
  const std::uint64_t first = epoch_begin + batch % batches * size;
  return {first, std::min(first + size, epoch_begin + images)};
}

void BatchLoader::Run() {
  try {
    Work();
  } catch (...) {
    const std::lock_guard lock(mutex_);
    failure_ = std::current_exception();
    made_.notify_one();
  }
}

void BatchLoader::Work() {
  std::unique_lock lock(mutex_);
  const auto ahead = static_cast<std::uint64_t>(options_.batches_ahead);
  while (true) {
    wanted_.wait(lock,
                 [&] { return stopping_ || next_image_ < RangeOf(next_batch_ + ahead - 1).end; });
    if (stopping_) return;
    const std::uint64_t n = next_image_++;
    lock.unlock();
    absl::StatusOr<TrainingImage> image = sequence_.Load(n);
    lock.lock();
    ready_.emplace(n, std::move(image));
    made_.notify_one();
  }
}

absl::StatusOr<std::vector<TrainingImage>> BatchLoader::Next() {
  std::vector<absl::StatusOr<TrainingImage>> images;
  {
    std::unique_lock lock(mutex_);
    const Range range = RangeOf(next_batch_);
    for (std::uint64_t n = range.first; n < range.end; ++n) {
      made_.wait(lock, [&] { return ready_.contains(n) || failure_ != nullptr; });
      if (!ready_.contains(n)) return StatusOf(failure_);
      images.push_back(std::move(ready_.extract(n).mapped()));
    }
    ++next_batch_;
  }
  wanted_.notify_all();
  std::vector<TrainingImage> batch;
  for (absl::StatusOr<TrainingImage>& image : images) {
    if (!image.ok()) return image.status();
    batch.push_back(*std::move(image));
  }
  return batch;
}

}  // namespace trainer
