// The one thread of the process from which OpenMP computes.
//
// libgomp keeps a team of its own for every thread that has ever started a parallel region. Once
// all teams together have more threads than there are cores, each one goes to sleep at every
// barrier instead of spinning for a moment, and to be woken costs more than most layers of a small
// network: on two cores, with two threads that take turns, RTMDet-tiny took a fifth longer.
#ifndef DUET_NN_COMPUTE_THREAD_H_
#define DUET_NN_COMPUTE_THREAD_H_

#include <functional>

namespace nn {

// Runs `work` on the computing thread, with the number of threads that UseThreads gave the caller,
// and returns when it is done. Callers wait for each other; from within `work` it is run at once.
// What `work` throws is thrown to the caller. Thread-safe.
void RunOnComputeThread(const std::function<void()>& work);

// The same on a new thread, whose team ends with it: for long work beside the computing thread's,
// such as building the next model.
void RunOnTemporaryThread(const std::function<void()>& work);

}  // namespace nn

#endif  // DUET_NN_COMPUTE_THREAD_H_
