// The detector's model and its reloading (model_service/model_host.h).
#ifndef DUET_DETECTOR_SERVICE_RPC_MODEL_HOST_H_
#define DUET_DETECTOR_SERVICE_RPC_MODEL_HOST_H_

#include "detector_service/inference/detection_model.h"
#include "model_service/model_host.h"
#include "model_service/named_models.h"

namespace detector {

using ModelHost = model_service::ModelHost<DetectionModel>;

// Logs model.notes(), a line each.
void LogNotes(const DetectionModel& model);

// Loads and warms up with `threads` threads. A checkpoint that a request names brings its own
// config and classes, so those that were given earlier don't go with it.
ModelHost::Loader LoaderWith(int threads);

// Loads models below a model root. `options`, those of the command line, hold for all of them but
// for what says which file is read: each brings its own config and classes.
model_service::NamedModels::Load NamedLoaderWith(const LoadOptions& options, int threads);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_RPC_MODEL_HOST_H_
