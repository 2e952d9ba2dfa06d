#include "segmenter_service/rpc/model_host.h"

#include <memory>

#include "model_service/served_models.h"

namespace segmenter {

ModelHost::Loader LoaderWith(Segmenter& engine) {
  return [&engine](const ServedModel& current, const model_service::ReloadFiles& files)
             -> absl::StatusOr<std::shared_ptr<const ServedModel>> {
    absl::StatusOr<std::shared_ptr<const ServedModel>> next =
        LoadModel(files.checkpoint.value_or(current.file), current.options);
    if (!next.ok()) return next.status();
    if (absl::Status warm = engine.WarmUp(**next); !warm.ok()) return warm;
    return next;
  };
}

model_service::NamedModels::Load NamedLoaderWith(const NetworkOptions& options, Segmenter& engine) {
  return [options, &engine](
             const model_service::ModelFile& file) -> absl::StatusOr<model_service::LoadedModel> {
    absl::StatusOr<std::shared_ptr<const ServedModel>> model = LoadModel(file, options);
    if (!model.ok()) return model.status();
    if (absl::Status warm = engine.WarmUp(**model); !warm.ok()) return warm;
    const NetworkSpec& spec = (*model)->network->spec();
    return model_service::LoadedModel{
        .model = model_service::Unnamed(*model),
        .version = (*model)->version,
        .shared_bytes = spec.shares_encoder ? spec.packed_encoder_bytes : 0};
  };
}

}  // namespace segmenter
