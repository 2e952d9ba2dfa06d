#include "segmenter_service/rpc/model_host.h"

#include <memory>

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

}  // namespace segmenter
