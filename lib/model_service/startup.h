// What a process that serves a model sets and checks before it loads one.
#ifndef DUET_MODEL_SERVICE_STARTUP_H_
#define DUET_MODEL_SERVICE_STARTUP_H_

#include <absl/status/statusor.h>

#include "model_service/common_options.h"

namespace model_service {

// Returns the number of threads to compute with, at least 1: --threads, else the process's CPU
// budget. Makes it the calling thread's, lets networks split float32 products or not as --precision
// says (nn/onednn/split_linear.h), and warns in the log of a slow BLAS ("blas.slow") and of
// bf16 that is allowed and won't be used ("bf16.slow"). Takes some 50 ms. InvalidArgument if the
// file of --kernel_plan is no plan.
absl::StatusOr<int> PrepareToCompute(const CommonOptions& options);

// Logs ("kernel_plan") how many layers' kernels were chosen, how many of them by measuring and what
// CPU time that took, and warns if --kernel_plan could not be written. For after the model was
// loaded.
void LogKernelPlan();

}  // namespace model_service

#endif  // DUET_MODEL_SERVICE_STARTUP_H_
