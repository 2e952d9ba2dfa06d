// The segmenter's model and its reloading (model_service/model_host.h).
#ifndef DUET_SEGMENTER_SERVICE_RPC_MODEL_HOST_H_
#define DUET_SEGMENTER_SERVICE_RPC_MODEL_HOST_H_

#include "model_service/model_host.h"
#include "model_service/named_models.h"
#include "segmenter_service/inference/segmenter.h"
#include "segmenter_service/inference/served_model.h"

namespace segmenter {

using ModelHost = model_service::ModelHost<const ServedModel>;

// Warms up in the queue of `engine`, which must outlive the loader. InvalidArgument for a request
// with a config file.
ModelHost::Loader LoaderWith(Segmenter& engine);

// Loads models below a model root, with the options of the command line.
model_service::NamedModels::Load NamedLoaderWith(const NetworkOptions& options, Segmenter& engine);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_RPC_MODEL_HOST_H_
