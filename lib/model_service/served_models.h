// Which model answers a request: the one that the process was started with, or a named one.
#ifndef DUET_MODEL_SERVICE_SERVED_MODELS_H_
#define DUET_MODEL_SERVICE_SERVED_MODELS_H_

#include <absl/status/statusor.h>

#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "duet/vision/v1/model.pb.h"
#include "model_service/model_host.h"
#include "model_service/model_spec.h"
#include "model_service/named_models.h"

namespace model_service {

template <typename Model>
struct Served {
  std::shared_ptr<Model> model;  // never null
  std::string name;              // ModelSpec.name, never ""

  bool is_default() const { return name == kDefaultModel; }
};

// Thread-safe.
template <typename Model>
class ServedModels {
 public:
  // `named` may be null: there is no model root. Both must outlive this.
  ServedModels(ModelHost<Model>* host, NamedModels* named) : host_(host), named_(named) {}

  ModelHost<Model>& host() const { return *host_; }

  // The model that serves under the name which `spec` asks for, whatever its version. Waits for one
  // that must be loaded; errors as NamedModels::Get's.
  absl::StatusOr<Served<Model>> Find(const duet::vision::v1::ModelSpec& spec,
                                     const WaitLimits& limits) const {
    if (IsDefault(spec)) return Served<Model>{host_->Current(), kDefaultModel};
    if (named_ == nullptr) return NoNamedModels(spec);
    absl::StatusOr<std::shared_ptr<void>> model = named_->Get(spec.name(), limits);
    if (!model.ok()) return model.status();
    return Served<Model>{std::static_pointer_cast<Model>(*std::move(model)), spec.name()};
  }

  // ListModels' answer. `status`: the default model's, of which this fills in name and state.
  // Errors as NamedModels::List's.
  absl::Status List(duet::vision::v1::ModelStatus status,
                    duet::vision::v1::ListModelsResponse* response) const {
    status.set_name(kDefaultModel);
    status.set_state(duet::vision::v1::ModelStatus::STATE_LOADED);
    *response->add_models() = std::move(status);
    if (named_ == nullptr) return absl::OkStatus();
    auto named = named_->List();
    if (!named.ok()) return named.status();
    for (auto& one : *named) *response->add_models() = std::move(one);
    return absl::OkStatus();
  }

 private:
  ModelHost<Model>* const host_;
  NamedModels* const named_;
};

// A model as NamedModels holds it.
template <typename Model>
std::shared_ptr<void> Unnamed(std::shared_ptr<Model> model) {
  return std::const_pointer_cast<std::remove_const_t<Model>>(std::move(model));
}

}  // namespace model_service

#endif  // DUET_MODEL_SERVICE_SERVED_MODELS_H_
