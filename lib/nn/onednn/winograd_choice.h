// Chooses between the two forms of a convolution by measuring them. Internal to nn/onednn.
#ifndef DUET_NN_ONEDNN_WINOGRAD_CHOICE_H_
#define DUET_NN_ONEDNN_WINOGRAD_CHOICE_H_

#include "nn/onednn/conv_forms.h"

namespace nn::onednn {

// Whether the Winograd form of node `value` takes less CPU time than oneDNN's direct one. Measured
// once for each shape and remembered for the life of the process, since shapes repeat within and
// across models. Overwrites the program's scratchpad and the layer's value. Thread-safe.
bool WinogradIsFaster(const ProgramBuild& build, int value, const ConvGeometry& geometry,
                      const ConvParameters& parameters);

}  // namespace nn::onednn

#endif  // DUET_NN_ONEDNN_WINOGRAD_CHOICE_H_
