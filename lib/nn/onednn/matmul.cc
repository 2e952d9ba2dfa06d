#include "nn/onednn/matmul.h"

#include <absl/strings/str_cat.h>
#include <omp.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>

#include "nn/onednn/aligned.h"
#include "nn/onednn/avx512_linear.h"
#include "nn/onednn/cpu.h"
#include "nn/onednn/engine.h"
#include "nn/onednn/kernel_plan.h"
#include "nn/onednn/kernel_time.h"
#include "nn/onednn/split_linear.h"

namespace nn::onednn {
namespace {

using dnnl::memory;

dnnl::stream& ThreadStream() {
  thread_local dnnl::stream stream(CpuEngine());
  return stream;
}

// oneDNN plans a primitive for the number of threads at its creation.
class ThreadsForCreation {
 public:
  explicit ThreadsForCreation(int threads) : before_(omp_get_max_threads()) {
    omp_set_num_threads(threads);
  }
  ~ThreadsForCreation() { omp_set_num_threads(before_); }

 private:
  int before_;
};

dnnl::matmul::primitive_desc Describe(const MatmulShape& s, Epilogue epilogue, bool with_bias,
                                      int threads) {
  const ThreadsForCreation scope(threads);
  const memory::desc src({s.rows, s.inner}, DataTypeOf(s.type), memory::dims{s.input_stride, 1});
  const memory::desc weights({s.inner, s.columns}, DataTypeOf(s.type), memory::format_tag::any);
  const memory::desc dst({s.rows, s.columns}, DataTypeOf(s.output_type),
                         memory::dims{s.output_stride, 1});
  dnnl::post_ops post;
  if (epilogue == Epilogue::kGelu) {
    post.append_eltwise(1.0F, dnnl::algorithm::eltwise_gelu_erf, 0.0F, 0.0F);
  } else if (epilogue == Epilogue::kAddToOutput) {
    post.append_sum(1.0F);
  }
  dnnl::primitive_attr attr;
  attr.set_post_ops(post);
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (with_bias) {
    const memory::desc bias({1, s.columns}, memory::data_type::f32, memory::format_tag::ab);
    return {dnnl::matmul::desc(src, weights, bias, dst), attr, CpuEngine()};
  }
  return {dnnl::matmul::desc(src, weights, dst), attr, CpuEngine()};
}

dnnl::matmul Create(const dnnl::matmul::primitive_desc& desc, int threads) {
  const ThreadsForCreation scope(threads);
  return dnnl::matmul(desc);
}

memory View(const memory::desc& desc, const void* data) {
  return {desc, CpuEngine(), const_cast<void*>(data)};
}

}  // namespace

Matmul::Matmul(const MatmulShape& shape, Epilogue epilogue, bool with_bias, int threads)
    : shape_(shape),
      desc_(Describe(shape, epilogue, with_bias, threads)),
      primitive_(Create(desc_, threads)),
      with_bias_(with_bias) {}

std::size_t Matmul::packed_bytes() const { return desc_.weights_desc().get_size(); }
std::size_t Matmul::scratch_bytes() const { return desc_.scratchpad_desc().get_size(); }

Matmul::Packing::Packing(dnnl::reorder::primitive_desc desc)
    : desc_(std::move(desc)), primitive_(desc_) {}

void Matmul::Packing::Run(const void* source, void* packed) const {
  // The library's own scratchpad belongs to the thread that made the primitive.
  thread_local AlignedVector<std::byte> scratch;
  scratch.resize(std::max(scratch.size(), desc_.scratchpad_desc().get_size() + 1));
  primitive_.execute(ThreadStream(),
                     {{DNNL_ARG_FROM, View(desc_.src_desc(), source)},
                      {DNNL_ARG_TO, View(desc_.dst_desc(), packed)},
                      {DNNL_ARG_SCRATCHPAD, View(desc_.scratchpad_desc(), scratch.data())}});
  ThreadStream().wait();
}

Matmul::Packing Matmul::PackingOf(const SourceStrides& strides) const {
  const memory::desc plain({shape_.inner, shape_.columns}, DataTypeOf(shape_.type),
                           memory::dims{strides.inner, strides.column});
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return Packing({CpuEngine(), plain, CpuEngine(), desc_.weights_desc(), attr});
}

void Matmul::Run(const void* input, const void* packed, const float* bias, void* output,
                 void* scratch) const {
  std::unordered_map<int, memory> args = {
      {DNNL_ARG_SRC, View(desc_.src_desc(), input)},
      {DNNL_ARG_WEIGHTS, View(desc_.weights_desc(), packed)},
      {DNNL_ARG_DST, View(desc_.dst_desc(), output)},
      {DNNL_ARG_SCRATCHPAD, View(desc_.scratchpad_desc(), scratch)}};
  if (with_bias_) args.emplace(DNNL_ARG_BIAS, View(desc_.bias_desc(), bias));
  primitive_.execute(ThreadStream(), args);
  ThreadStream().wait();
}

PackedLinear::PackedLinear(const at::Tensor& weight, const at::Tensor& bias,
                           const LinearOptions& options)
    : rows_(options.rows), out_(weight.size(0)), threads_(options.threads) {
  const std::int64_t in = weight.size(1);
  const at::Tensor factors =
      weight.detach()
          .to(options.type == Precision::kBFloat16 ? at::kBFloat16 : at::kFloat)
          .contiguous();
  const at::Tensor addends =
      bias.defined() ? bias.detach().to(at::kFloat).contiguous() : at::Tensor();
  const float* addend = bias.defined() ? addends.data_ptr<float>() : nullptr;
  if (options.type == Precision::kFloat32 && options.output_type == Precision::kFloat32 &&
      Avx512Linear::Supported()) {
    const float* w = factors.data_ptr<float>();
    if (options.may_split && Splits(w, addend, in, options.epilogue)) {
      split_ =
          std::make_unique<SplitLinear>(w, addend, in, out_, rows_, options.epilogue, threads_);
    } else {
      avx512_ = std::make_unique<const Avx512Linear>(w, addend, in, out_, options.epilogue);
    }
    return;
  }
  matmul_.emplace(MatmulShape{.rows = rows_,
                              .inner = in,
                              .columns = out_,
                              .input_stride = in,
                              .output_stride = out_,
                              .type = options.type,
                              .output_type = options.output_type},
                  options.epilogue, bias.defined(), threads_);
  packed_ = AllocateAligned<std::byte>(matmul_->packed_bytes());
  scratch_ = AllocateAligned<std::byte>(matmul_->scratch_bytes());
  matmul_->Pack(factors.data_ptr(), {.inner = 1, .column = in}, packed_.get());
  if (addend != nullptr) {
    bias_ = AllocateAligned<float>(out_);
    std::memcpy(bias_.get(), addend, sizeof(float) * out_);
  }
}

PackedLinear::~PackedLinear() = default;

bool PackedLinear::Splits(const float* weight, const float* bias, std::int64_t in,
                          Epilogue epilogue) const {
  const SplitProducts allowed = AllowedSplitProducts();
  if (allowed == SplitProducts::kAlways) return CpuHasBFloat16();
  if (allowed == SplitProducts::kNever || !CpuHasAmx()) return false;
  // One thread's share of the rows, or what is enough of it to tell.
  constexpr std::int64_t kMostRows = 256;
  const std::int64_t rows = std::min((rows_ + threads_ - 1) / threads_, kMostRows);
  AlignedVector<float> x(rows * in), y(rows * out_);
  std::optional<Avx512Linear> plain;  // made when they are first measured
  std::optional<SplitLinear> split;
  const auto seconds = [&](auto* layer, const auto& make, const auto& run) {
    if (!layer->has_value()) make();
    const AloneOnOneThread alone;
    return LeastSeconds(2, run);
  };
  return KernelPlan::OfProcess().Choose(
             absl::StrCat("linear fp32 ", rows_, "x", in, " to ", out_,
                          epilogue == Epilogue::kGelu          ? " gelu"
                          : epilogue == Epilogue::kAddToOutput ? " add"
                                                               : "",
                          ", ", threads_, " threads"),
             {{"float32",
               [&] {
                 return seconds(
                     &plain, [&] { plain.emplace(weight, bias, in, out_, epilogue); },
                     [&] { plain->Run(x.data(), rows, y.data(), 1); });
               }},
              {"split", [&] {
                 return seconds(
                     &split, [&] { split.emplace(weight, bias, in, out_, rows, epilogue, 1); },
                     [&] { split->Run(x.data(), y.data()); });
               }}}) == "split";
}

void PackedLinear::Run(const void* x, void* y) {
  if (split_ != nullptr) {
    split_->Run(static_cast<const float*>(x), static_cast<float*>(y));
  } else if (avx512_ != nullptr) {
    avx512_->Run(static_cast<const float*>(x), rows_, static_cast<float*>(y), threads_);
  } else {
    matmul_->Run(x, packed_.get(), bias_.get(), y, scratch_.get());
  }
}

std::size_t PackedLinear::weight_bytes() const {
  if (split_ != nullptr) return split_->weight_bytes();
  if (avx512_ != nullptr) return avx512_->weight_bytes();
  return matmul_->packed_bytes() + (bias_ ? sizeof(float) * out_ : 0);
}

}  // namespace nn::onednn
