// The activations that networks here name. Apart from their layers, so that a description of a
// network needs no oneDNN.
#ifndef DUET_NN_ACTIVATION_H_
#define DUET_NN_ACTIVATION_H_

namespace nn {

// kGelu is by erf.
enum class Activation { kNone, kSilu, kRelu, kLeakyRelu, kSigmoid, kHardSigmoid, kGelu };

// What kLeakyRelu multiplies negative numbers by: YOLOv7's choice.
inline constexpr float kLeakySlope = 0.1F;

}  // namespace nn

#endif  // DUET_NN_ACTIVATION_H_
