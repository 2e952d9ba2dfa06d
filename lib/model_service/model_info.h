// Says in the metrics which model a process serves, for whoever has to know that without asking by
// gRPC: dashboards, and `./duet up`, which waits until the gateway has heard of it.
#ifndef DUET_MODEL_SERVICE_MODEL_INFO_H_
#define DUET_MODEL_SERVICE_MODEL_INFO_H_

#include <string>

#include "serving/metrics.h"

namespace model_service {

inline constexpr serving::GaugeSpec kModelInfo{
    "duet_model_info", "1 for the model that is served, 0 for those that were.", "name,version"};

// Thread-safe, if each change is told once and in order.
class ModelInfo {
 public:
  // `metrics` must outlive this.
  explicit ModelInfo(serving::Metrics& metrics) : metrics_(&metrics) {}

  // This model is served from now on, and no other.
  void Serves(const std::string& name, const std::string& version) {
    if (served_ != nullptr) served_->Set(0);
    served_ = &metrics_->Get(kModelInfo, {name, version});
    served_->Set(1);
  }

 private:
  serving::Metrics* metrics_;
  prometheus::Gauge* served_ = nullptr;
};

}  // namespace model_service

#endif  // DUET_MODEL_SERVICE_MODEL_INFO_H_
