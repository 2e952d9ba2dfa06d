#include "tests/parity/segmenter_service/golden_image.h"

#include <absl/strings/str_cat.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <limits>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <utility>

#include "checkpoint/checkpoint.h"

namespace segmenter {
namespace {

const std::string kFolder = std::string(DUET_TEST_DATA) + "/segmenter/";

float HalfToFloat(std::uint16_t half) {
  const int exponent = (half >> 10) & 31;
  const float mantissa = static_cast<float>(half & 1023);
  const float magnitude =
      exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(mantissa + 1024.0f, exponent - 25);
  return half & 0x8000 ? -magnitude : magnitude;
}

template <typename T>
T Load(const std::byte* data, std::int64_t index) {
  T value;
  std::memcpy(&value, data + index * static_cast<std::int64_t>(sizeof(T)), sizeof(T));
  return value;
}

GoldenTensor ToGolden(const checkpoint::TensorView& view) {
  GoldenTensor tensor{view.shape, {}};
  for (std::int64_t i = 0; i < view.NumElements(); ++i) {
    switch (view.dtype) {
      case checkpoint::DType::kFloat32:
        tensor.values.push_back(Load<float>(view.data, i));
        break;
      case checkpoint::DType::kFloat64:
        tensor.values.push_back(Load<double>(view.data, i));
        break;
      case checkpoint::DType::kFloat16:
        tensor.values.push_back(HalfToFloat(Load<std::uint16_t>(view.data, i)));
        break;
      default:
        tensor.values.push_back(static_cast<double>(Load<std::int64_t>(view.data, i)));
    }
  }
  return tensor;
}

class Fixtures {
 public:
  explicit Fixtures(const std::string& path) {
    absl::StatusOr<checkpoint::Checkpoint> file = checkpoint::ReadCheckpoint(path);
    if (!file.ok()) {
      std::cerr << file.status() << "\n";
      std::abort();
    }
    tensors_ = std::move(file->state_dict);
  }

  std::optional<GoldenTensor> Get(const std::string& name) const {
    const checkpoint::TensorView* view = checkpoint::Find(tensors_, name);
    if (view == nullptr) return std::nullopt;
    return ToGolden(*view);
  }

  // `name` whole, or thinned out under `name` + suffix.
  GoldenTensor Get(const std::string& name, const std::string& suffix, int* stride) const {
    if (std::optional<GoldenTensor> whole = Get(name)) {
      *stride = 1;
      return *std::move(whole);
    }
    *stride = 4;
    return Get(name + suffix).value();
  }

 private:
  checkpoint::StateDict tensors_;
};

std::vector<Prompt> ReadPrompts(const Fixtures& fixtures, const std::string& name, bool has_mask) {
  const std::optional<GoldenTensor> points = fixtures.Get(name + ".points");
  const std::optional<GoldenTensor> boxes = fixtures.Get(name + ".boxes");
  std::size_t count = 1;
  if (points && points->shape.size() == 3) count = static_cast<std::size_t>(points->shape[0]);
  if (boxes) count = static_cast<std::size_t>(boxes->shape[0]);
  std::vector<Prompt> prompts(count);
  if (points) {
    const std::vector<double> labels = fixtures.Get(name + ".labels").value().values;
    const std::size_t each = labels.size() / count;
    for (std::size_t i = 0; i < labels.size(); ++i) {
      prompts[i / each].points.push_back({{static_cast<float>(points->values[2 * i]),
                                           static_cast<float>(points->values[2 * i + 1])},
                                          static_cast<int>(labels[i])});
    }
  }
  if (boxes) {
    for (std::size_t i = 0; i < count; ++i) {
      const double* box = &boxes->values[4 * i];
      prompts[i].box = vision::Box{static_cast<float>(box[0]), static_cast<float>(box[1]),
                                   static_cast<float>(box[2]), static_cast<float>(box[3])};
    }
  }
  if (has_mask) {
    const GoldenTensor mask = fixtures.Get("mask_input_f16").value();
    prompts[0].mask_logits.assign(mask.values.begin(), mask.values.end());
  }
  return prompts;
}

}  // namespace

std::string GoldenTestName(const testing::TestParamInfo<const char*>& info) {
  std::string name = info.param;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return c == '/' || c == '.'; }, '_');
  return name;
}

GoldenImage ReadGoldenImage(const std::string& name) {
  const std::size_t slash = name.find('/');
  const std::string model = name.substr(0, slash), stem = name.substr(slash + 1);
  std::ifstream json_file(kFolder + "goldens.json");
  const std::string text{std::istreambuf_iterator<char>(json_file), {}};
  const boost::json::value goldens = boost::json::parse(text).at(model);
  const boost::json::object& entry = goldens.at("images").at(stem).as_object();
  const std::string files = kFolder + model + "_" + stem;

  const Fixtures fixtures(files + ".safetensors");
  GoldenImage image;
  image.checkpoint = kFolder + std::string(goldens.at("checkpoint").as_string());
  image.file = kFolder + stem + ".png";
  image.bgr = cv::imread(image.file, cv::IMREAD_COLOR);
  const boost::json::array& resized = entry.at("resized_hw").as_array();
  image.resized = {resized[1].to_number<int>(), resized[0].to_number<int>()};
  image.input_sha256 = entry.at("sha256_preprocessed_chw_f32le").as_string();
  for (const boost::json::value& sample : entry.at("preprocessed_samples").as_array()) {
    const boost::json::array& numbers = sample.as_array();
    image.input_samples.push_back({numbers[0].to_number<int>(), numbers[1].to_number<int>(),
                                   numbers[2].to_number<int>(), numbers[3].to_number<double>()});
  }
  for (const auto& [tensor, map] :
       std::vector<std::pair<const char*, GoldenMap>>{{"embedding", {0, 0, 0, 1, {}}},
                                                      {"embedding_s4", {0, 0, 0, 4, {}}},
                                                      {"image_embed_s4", {0, 1, 1, 4, {}}},
                                                      {"high_res_s0_s16", {1, 3, 2, 16, {}}},
                                                      {"high_res_s1_s4", {2, 1, 2, 4, {}}}}) {
    if (std::optional<GoldenTensor> values = fixtures.Get(tensor)) {
      image.maps.push_back(map);
      image.maps.back().tensor = *std::move(values);
    }
  }

  const cv::Mat masks = cv::imread(files + "_masks.png", cv::IMREAD_GRAYSCALE);
  for (const boost::json::value& value : entry.at("prompts").as_array()) {
    GoldenPrompts prompts;
    prompts.name = value.at("name").as_string();
    prompts.multimask = value.at("multimask").as_bool();
    prompts.hq_token_only = value.at("hq_token_only").as_bool();
    prompts.no_dynamic = value.at("no_dynamic").as_bool();
    prompts.prompts = ReadPrompts(fixtures, prompts.name, value.at("mask").as_bool());
    prompts.iou = fixtures.Get(prompts.name + ".iou").value();
    prompts.logits = fixtures.Get(prompts.name, "_s4", &prompts.logits_stride);
    const int row = static_cast<int>(image.prompts.size()) * image.bgr.rows;
    prompts.first_mask = masks.rowRange(row, row + image.bgr.rows);
    image.prompts.push_back(std::move(prompts));
  }
  return image;
}

std::string ReadSidecar(const GoldenImage& golden, bool dynamic_multimask) {
  std::ifstream file(golden.checkpoint + ".json");
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!dynamic_multimask) {
    text.insert(text.find('{') + 1, "\"dynamic_multimask_via_stability\": false, ");
  }
  return text;
}

double MaskIou(const cv::Mat& a, const cv::Mat& b) {
  const cv::Mat in_a = a != 0, in_b = b != 0;
  return static_cast<double>(cv::countNonZero(in_a & in_b)) / cv::countNonZero(in_a | in_b);
}

double LogitError(absl::Span<const float> logits, std::size_t size, const GoldenPrompts& golden) {
  // The reference thinned its logits out as [1::4, 1::4].
  const std::size_t step = golden.logits_stride, from = step == 1 ? 0 : 1, kept = size / step;
  if (logits.size() != golden.logits.values.size() * step * step) {
    return std::numeric_limits<double>::infinity();
  }
  double worst = 0;
  for (std::size_t i = 0; i < golden.logits.values.size(); ++i) {
    const std::size_t x = i % kept * step + from, y = i / kept % kept * step + from;
    const std::size_t mask = i / (kept * kept);
    worst =
        std::max(worst, std::abs(logits[(mask * size + y) * size + x] - golden.logits.values[i]));
  }
  return worst;
}

}  // namespace segmenter
