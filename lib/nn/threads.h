// How many cores the arithmetic of one request uses.
//
// LibTorch, oneDNN and OpenBLAS run on OpenMP here. OpenMP keeps its thread count per calling
// thread, so a worker thread that was started after main() set the count computes with the default:
// every thread that computes calls UseThreads once, first thing.
#ifndef DUET_NN_THREADS_H_
#define DUET_NN_THREADS_H_

namespace nn {

// Makes Torch and OpenMP compute with `count` threads, at least 1, when called from this thread.
// How many a process should use says serving/cpu.h.
void UseThreads(int count);

}  // namespace nn

#endif  // DUET_NN_THREADS_H_
