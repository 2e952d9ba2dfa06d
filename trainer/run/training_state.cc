#include "trainer/run/training_state.h"

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include <boost/json.hpp>
#include <cstring>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

#include "checkpoint/pth_writer.h"

namespace trainer {
namespace {

constexpr std::string_view kRunTensor = "run";  // JSON, a byte an element

// Doubles by their bits: a training that goes on must not differ in the last one.
std::string ToJson(const RunState& run) {
  const auto bits = [](double value) {
    std::int64_t number = 0;
    std::memcpy(&number, &value, sizeof number);
    return number;
  };
  return boost::json::serialize(
      boost::json::object{{"step", run.step},
                          {"evaluated_step", run.evaluated_step},
                          {"best_ap_bits", bits(run.best_ap)},
                          {"best_step", run.best_step},
                          {"evaluations_since_best", run.evaluations_since_best},
                          {"skipped_batches", run.skipped_batches},
                          {"log_bytes", run.log_bytes},
                          {"bf16", run.bf16},
                          {"seconds", static_cast<std::int64_t>(run.seconds)}});
}

std::optional<RunState> FromJson(std::string_view text) {
  boost::system::error_code error;
  const boost::json::value value = boost::json::parse(text, error);
  if (error || !value.is_object()) return std::nullopt;
  bool complete = true;
  const auto number = [&](const char* key) -> std::int64_t {
    const boost::json::value* const found = value.get_object().if_contains(key);
    boost::system::error_code not_whole;
    const std::int64_t whole = found == nullptr ? 0 : found->to_number<std::int64_t>(not_whole);
    complete = complete && found != nullptr && !not_whole;
    return whole;
  };
  RunState run;
  run.step = number("step");
  run.evaluated_step = number("evaluated_step");
  const std::int64_t bits = number("best_ap_bits");
  std::memcpy(&run.best_ap, &bits, sizeof bits);
  run.best_step = number("best_step");
  run.evaluations_since_best = static_cast<int>(number("evaluations_since_best"));
  run.skipped_batches = number("skipped_batches");
  run.log_bytes = static_cast<std::uint64_t>(number("log_bytes"));
  run.seconds = static_cast<double>(number("seconds"));
  const boost::json::value* const bf16 = value.get_object().if_contains("bf16");
  complete = complete && bf16 != nullptr && bf16->is_bool();
  if (!complete) return std::nullopt;
  run.bf16 = bf16->get_bool();
  return run;
}

}  // namespace

absl::Status SaveState(const std::string& path, const RunState& run,
                       const checkpoint::StateDict& tensors) {
  const std::string json = ToJson(run);
  checkpoint::TensorView view;
  view.dtype = checkpoint::DType::kUInt8;
  view.shape = {static_cast<std::int64_t>(json.size())};
  view.strides = checkpoint::ContiguousStrides(view.shape);
  view.data = reinterpret_cast<const std::byte*>(json.data());
  checkpoint::StateDict all = {{std::string(kRunTensor), view}};
  all.insert(all.end(), tensors.begin(), tensors.end());
  return checkpoint::WritePth(path, all, std::nullopt);
}

absl::StatusOr<SavedState> LoadState(const std::string& path) {
  absl::StatusOr<checkpoint::Checkpoint> file = checkpoint::ReadCheckpoint(path);
  if (!file.ok()) return file.status();
  const checkpoint::TensorView* const json = checkpoint::Find(file->state_dict, kRunTensor);
  std::optional<RunState> run;
  if (json != nullptr && json->dtype == checkpoint::DType::kUInt8 && json->IsContiguous()) {
    run = FromJson(
        {reinterpret_cast<const char*>(json->data), static_cast<std::size_t>(json->NumElements())});
  }
  if (!run.has_value()) {
    return absl::DataLossError(absl::StrCat(path, ": is no state of a training"));
  }
  std::erase_if(file->state_dict, [](const auto& entry) { return entry.first == kRunTensor; });
  return SavedState{*run, std::move(file->state_dict)};
}

}  // namespace trainer
