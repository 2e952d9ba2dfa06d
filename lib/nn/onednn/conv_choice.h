// Chooses between the forms of a convolution by measuring them. Internal to nn/onednn.
#ifndef DUET_NN_ONEDNN_CONV_CHOICE_H_
#define DUET_NN_ONEDNN_CONV_CHOICE_H_

#include "nn/onednn/conv_forms.h"

namespace nn::onednn {

// The kernel that takes the least CPU time for node `value`, a convolution, as the process's kernel
// plan says (kernel_plan.h). Where that must measure first, it overwrites the program's scratchpad
// and the layer's value. Thread-safe.
ConvKernel ChooseKernel(const ProgramBuild& build, int value, const ConvParameters& parameters);

}  // namespace nn::onednn

#endif  // DUET_NN_ONEDNN_CONV_CHOICE_H_
