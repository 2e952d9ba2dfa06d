// FetchQueue decides which download starts next, so that hosts that hang delay only those who ask
// for them. Internal to image_fetch.
#ifndef DUET_IMAGE_FETCH_FETCH_QUEUE_H_
#define DUET_IMAGE_FETCH_FETCH_QUEUE_H_

#include <deque>
#include <memory>
#include <string>
#include <unordered_map>

#include "image_fetch/download.h"

namespace image_fetch {

// Not thread-safe.
class FetchQueue {
 public:
  // `max_running`: downloads at once. The downloads of one lane (ImageLocation::lane) take no more
  // places than they leave free, so that however many hosts hang, the next one finds a place.
  explicit FetchQueue(int max_running) : max_running_(max_running) {}

  void Add(std::shared_ptr<Download> download);
  // Nothing happens if it isn't in the queue (any more).
  void Remove(const std::shared_ptr<Download>& download);
  // The first in order of arrival that may start; it runs until Finish. Null if none may start.
  std::shared_ptr<Download> TakeNext();
  // REQUIRES: TakeNext returned it.
  void Finish(const Download& download);

  int running() const { return running_; }

 private:
  const int max_running_;
  int running_ = 0;
  std::deque<std::shared_ptr<Download>> waiting_;
  std::unordered_map<std::string, int> running_in_lane_;
};

}  // namespace image_fetch

#endif  // DUET_IMAGE_FETCH_FETCH_QUEUE_H_
