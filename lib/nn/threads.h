// How many cores the arithmetic of one request uses.
//
// LibTorch, oneDNN and OpenBLAS run on OpenMP here. OpenMP keeps its thread count per calling
// thread, so a worker thread that was started after main() set the count computes with the default:
// every thread that computes calls UseThreads once, first thing.
#ifndef DUET_NN_THREADS_H_
#define DUET_NN_THREADS_H_

namespace nn {

// Cores this process may use: the cgroup's CPU quota (rounded up) or the affinity mask, whichever
// is less; at least 1.
int AvailableCores();

// Makes Torch and OpenMP compute with `count` threads when called from this thread. 0 means
// AvailableCores(). Returns the count in force.
int UseThreads(int count);

}  // namespace nn

#endif  // DUET_NN_THREADS_H_
