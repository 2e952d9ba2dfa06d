// What this CPU can do, as oneDNN sees it; ONEDNN_MAX_CPU_ISA can forbid some of it.
#ifndef DUET_NN_ONEDNN_CPU_H_
#define DUET_NN_ONEDNN_CPU_H_

#include <string>

#include "nn/onednn/precision.h"

namespace nn::onednn {

// True if it multiplies bf16 in hardware.
bool CpuHasBFloat16();

// True if it multiplies bf16 in tiles (AMX).
bool CpuHasAmx();

// True if it multiplies bf16 faster than float32. Not all that have the instructions do: on an
// Intel Xeon whose AMX is hidden by its hypervisor, float32 is twice as fast. As the process's
// kernel plan says (kernel_plan.h): measured once, some 30 ms on the calling thread. Thread-safe.
bool CpuGainsFromBFloat16();

// What to compute in: bf16 if it is allowed and faster.
Precision FasterPrecision(bool bf16_allowed);

// For the log, if bf16 is allowed and won't be used; else empty.
std::string BFloat16Warning(bool bf16_allowed);

// Channels that lie together in blocked tensors: 16 with AVX-512, 8 with AVX2, else 0: there are no
// fast convolutions then.
int CpuChannelBlock();

}  // namespace nn::onednn

#endif  // DUET_NN_ONEDNN_CPU_H_
