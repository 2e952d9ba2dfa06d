// The detector's model and its reloading (model_service/model_host.h).
#ifndef DUET_DETECTOR_SERVICE_RPC_MODEL_HOST_H_
#define DUET_DETECTOR_SERVICE_RPC_MODEL_HOST_H_

#include "detector_service/inference/detection_model.h"
#include "model_service/model_host.h"

namespace detector {

using ModelHost = model_service::ModelHost<DetectionModel>;

// Loads and warms up with `threads` threads. A checkpoint that a request names brings its own
// config, so a config file that was given earlier doesn't go with it.
ModelHost::Loader LoaderWith(int threads);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_RPC_MODEL_HOST_H_
