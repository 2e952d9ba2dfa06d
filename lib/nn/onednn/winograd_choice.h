// Chooses between the two forms of a convolution by measuring them. Internal to nn/onednn.
#ifndef DUET_NN_ONEDNN_WINOGRAD_CHOICE_H_
#define DUET_NN_ONEDNN_WINOGRAD_CHOICE_H_

#include "nn/onednn/conv_forms.h"

namespace nn::onednn {

// Whether the Winograd form of node `value` takes less CPU time than oneDNN's direct one, as the
// process's kernel plan says (kernel_plan.h). Where that must measure first, it overwrites the
// program's scratchpad and the layer's value. Thread-safe.
bool WinogradIsFaster(const ProgramBuild& build, int value, const ConvGeometry& geometry,
                      const ConvParameters& parameters);

}  // namespace nn::onednn

#endif  // DUET_NN_ONEDNN_WINOGRAD_CHOICE_H_
