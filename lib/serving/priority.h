// Priority says who waits for a piece of work. It is the order of the services' queues, and what
// their clients say in calls.
#ifndef DUET_SERVING_PRIORITY_H_
#define DUET_SERVING_PRIORITY_H_

namespace serving {

// The most urgent first. The metrics' label "rank" is the number.
enum class Priority {
  kInteractive = 0,  // a person, right now: a click, a drawn box
  kOpenedTask = 1,   // a person who has just opened the task
  kBatch = 2,        // nobody in particular
  kPrefetch = 3,     // nobody; the result may never be needed
  kStock = 4,        // nobody; it is kept for whoever may need it some day
};

}  // namespace serving

#endif  // DUET_SERVING_PRIORITY_H_
