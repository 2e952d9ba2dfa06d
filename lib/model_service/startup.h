// What a process that serves a model sets and checks before it loads one.
#ifndef DUET_MODEL_SERVICE_STARTUP_H_
#define DUET_MODEL_SERVICE_STARTUP_H_

#include "model_service/common_options.h"

namespace model_service {

// Returns the number of threads to compute with, at least 1: --threads, else the process's CPU
// budget. Makes it the calling thread's, and warns in the log of a slow BLAS ("blas.slow") and of
// bf16 that is allowed and won't be used ("bf16.slow"). Takes some 50 ms.
int PrepareToCompute(const CommonOptions& options);

}  // namespace model_service

#endif  // DUET_MODEL_SERVICE_STARTUP_H_
