#include "segmenter_service/packed/packed_blocks.h"

#include <omp.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "nn/onednn/aligned.h"
#include "nn/onednn/matmul.h"
#include "segmenter_service/packed/attention.h"
#include "segmenter_service/packed/packed_layers.h"
#include "segmenter_service/packed/packed_mlp_block.h"

namespace segmenter {
namespace {

using nn::onednn::AlignedVector;
using nn::onednn::Epilogue;
using nn::onednn::PackedLinear;

// Tokens that pass through the MLP together: few enough that the hidden layer stays in the cache,
// and that what they take is a piece between two pauses.
template <typename T>
constexpr std::int64_t kMlpRows = std::is_same_v<T, float> ? 256 : 512;
// The same for the narrower layers around the attention.
constexpr std::int64_t kLinearRows = 1024;
// The plain vision transformer stays within the parity tests' tolerances with split products;
// TinyViT and Hiera, whose blocks may not, go two to four times beyond.
constexpr bool kMaySplit = true;
// Pieces that a head's queries of a global block make.
constexpr std::int64_t kGlobalPieces = 2;

}  // namespace

class PackedBlocks::Impl {
 public:
  virtual ~Impl() = default;
  virtual void Run(std::int64_t index, float* tokens, const Pause& pause) = 0;
  virtual std::size_t weight_bytes() const = 0;
};

namespace {

template <typename T>
class TypedBlocks final : public PackedBlocks::Impl {
 public:
  TypedBlocks(ImageEncoderViTImpl& encoder, const ImageEncoderConfig& config, int threads)
      : grid_(config.grid()),
        tokens_(grid_ * grid_),
        dim_(config.embed_dim),
        heads_(config.num_heads),
        head_dim_(dim_ / heads_),
        linear_rows_(DivisorUpTo(tokens_, kLinearRows)),
        normed_(tokens_ * dim_),
        qkv_(tokens_ * 3 * dim_),
        attended_(tokens_ * dim_) {
    const std::int64_t mlp_rows = DivisorUpTo(tokens_, kMlpRows<T>);
    for (std::int64_t i = 0; i < encoder.step_count(); ++i) {
      auto& block = *encoder.blocks->ptr(i)->as<ImageBlockImpl>();
      const std::int64_t window = config.window_sizes[i];
      blocks_.push_back(
          {.window = window,
           .norm1 = RowNorm(block.norm1),
           .qkv = MakeLinear<T>(block.attn->qkv, {.rows = linear_rows_,
                                                  .output_type = kPrecisionOf<T>,
                                                  .threads = threads,
                                                  .may_split = kMaySplit}),
           .proj = MakeLinear<T>(block.attn->proj, {.rows = linear_rows_,
                                                    .epilogue = Epilogue::kAddToOutput,
                                                    .threads = threads,
                                                    .may_split = kMaySplit}),
           .mlp = std::make_unique<const PackedMlpBlock<T>>(
               block.norm2, block.mlp->lin1, block.mlp->lin2, mlp_rows, threads, kMaySplit),
           .tables = AttentionOf(window).PackTables(ToVector(block.attn->rel_pos_h).data(),
                                                    ToVector(block.attn->rel_pos_w).data()),
           .qkv_bias = FromFloats<T>(block.attn->qkv->bias)});
    }
    hidden_.resize(mlp_rows * config.mlp_dim);
  }

  void Run(std::int64_t index, float* tokens, const Pause& may_pause) override {
    Block& block = blocks_[index];
    const auto pause = [&] {
      if (may_pause) may_pause();
    };
    for (std::int64_t row = 0; row < tokens_; row += linear_rows_) {
      block.norm1.Run(tokens + row * dim_, linear_rows_, normed_.data());
      block.qkv->Run(normed_.data(), qkv_.data() + row * 3 * dim_);
      pause();
    }
    if (block.window == 0) {
      AttendGlobally(block, pause);
    } else {
      AttendInWindows(block, pause);
    }
    for (std::int64_t row = 0; row < tokens_; row += linear_rows_) {
      block.proj->Run(attended_.data() + row * dim_, tokens + row * dim_);
    }
    block.mlp->Run(tokens, tokens_, normed_.data(), hidden_.data(), may_pause);
  }

  std::size_t weight_bytes() const override {
    std::size_t sum = 0;
    for (const Block& b : blocks_) {
      sum +=
          b.qkv->weight_bytes() + b.proj->weight_bytes() + b.mlp->weight_bytes() + b.tables.size();
    }
    return sum;
  }

 private:
  struct Block {
    std::int64_t window;
    RowNorm norm1;
    std::unique_ptr<PackedLinear> qkv, proj;
    std::unique_ptr<const PackedMlpBlock<T>> mlp;
    AlignedVector<std::byte> tables;  // GridAttention::PackTables'
    AlignedVector<T> qkv_bias;        // what a pad token's query, key and value are
  };

  // The products for windows of side `window` (0: the whole grid), made at the first call.
  const GridAttention<T>& AttentionOf(std::int64_t window) {
    if (const auto found = attention_.find(window); found != attention_.end()) return found->second;
    const AttentionTile tile = window == 0 ? GlobalTile<T>(grid_, head_dim_) : AttentionTile{};
    const GridAttentionShape shape =
        window == 0
            ? GridAttentionShape{.side = grid_,
                                 .rows = tile.queries,
                                 .keys_at_a_time = tile.keys,
                                 .head_dim = head_dim_,
                                 .input_stride = 3 * dim_,
                                 .output_stride = dim_}
            : GridAttentionShape{.side = window,
                                 .rows = DivisorUpTo(window * window, GridAttention<T>::kMaxRows),
                                 .head_dim = head_dim_,
                                 .input_stride = head_dim_,
                                 .output_stride = head_dim_};
    return attention_.try_emplace(window, shape).first->second;
  }

  void AttendGlobally(const Block& block, const Pause& pause) {
    const GridAttention<T>& attention = AttentionOf(0);
    keys_.resize(heads_);
    scratch_.resize(omp_get_max_threads());
#pragma omp parallel for schedule(dynamic)
    for (std::int64_t h = 0; h < heads_; ++h) {
      attention.PackKeys(qkv_.data() + dim_ + h * head_dim_, qkv_.data() + 2 * dim_ + h * head_dim_,
                         &keys_[h]);
    }
    const std::int64_t parts = tokens_ / attention.rows();
    for (std::int64_t piece = 0; piece < heads_ * kGlobalPieces; ++piece) {
      const std::int64_t h = piece / kGlobalPieces, share = piece % kGlobalPieces;
#pragma omp parallel for schedule(dynamic)
      for (std::int64_t part = parts * share / kGlobalPieces;
           part < parts * (share + 1) / kGlobalPieces; ++part) {
        const std::int64_t first = part * attention.rows();
        typename GridAttention<T>::Scratch& scratch = scratch_[omp_get_thread_num()];
        const T* q = GatherRows(qkv_.data() + first * 3 * dim_ + h * head_dim_, attention.rows(),
                                head_dim_, 3 * dim_, &scratch.products.queries);
        attention.Attend(q, first, keys_[h], block.tables.data(), &scratch,
                         attended_.data() + first * dim_ + h * head_dim_);
      }
      pause();
    }
  }

  void AttendInWindows(const Block& block, const Pause& pause) {
    const std::int64_t across = (grid_ + block.window - 1) / block.window;
    scratch_.resize(omp_get_max_threads());
    for (std::int64_t row = 0; row < across; ++row) {
      AttendInRow(block, row, across);
      pause();
    }
  }

  // Attends in the `across` windows of row `row` of windows.
  void AttendInRow(const Block& block, std::int64_t row, std::int64_t across) {
    const GridAttention<T>& attention = AttentionOf(block.window);
    const std::int64_t side = block.window, top = row * side;
#pragma omp parallel
    {
      typename GridAttention<T>::Scratch& scratch = scratch_[omp_get_thread_num()];
      typename GridAttention<T>::Keys keys;
      AlignedVector<T> gathered(3 * side * side * head_dim_), out(side * side * head_dim_);
#pragma omp for schedule(dynamic) collapse(2)
      for (std::int64_t w = 0; w < across; ++w) {
        for (std::int64_t h = 0; h < heads_; ++h) {
          const std::int64_t left = w * side;
          Gather(block, top, left, h, gathered.data());
          const std::int64_t plane = side * side * head_dim_;
          attention.PackKeys(gathered.data() + plane, gathered.data() + 2 * plane, &keys);
          const std::int64_t rows = attention.rows();
          for (std::int64_t first = 0; first < side * side; first += rows) {
            attention.Attend(gathered.data() + first * head_dim_, first, keys, block.tables.data(),
                             &scratch, out.data() + first * head_dim_);
          }
          for (std::int64_t y = 0; y < std::min(side, grid_ - top); ++y) {
            for (std::int64_t x = 0; x < std::min(side, grid_ - left); ++x) {
              std::memcpy(attended_.data() + ((top + y) * grid_ + left + x) * dim_ + h * head_dim_,
                          out.data() + (y * side + x) * head_dim_, sizeof(T) * head_dim_);
            }
          }
        }
      }
    }
  }

  // q, k, v of one head in one window, [3, side * side, head_dim].
  void Gather(const Block& block, std::int64_t top, std::int64_t left, std::int64_t head,
              T* gathered) const {
    const std::int64_t side = block.window;
    for (std::int64_t part = 0; part < 3; ++part) {
      const std::int64_t offset = part * dim_ + head * head_dim_;
      for (std::int64_t y = top; y < top + side; ++y) {
        for (std::int64_t x = left; x < left + side; ++x) {
          const T* from = y < grid_ && x < grid_ ? qkv_.data() + (y * grid_ + x) * 3 * dim_ + offset
                                                 : block.qkv_bias.data() + offset;
          std::memcpy(gathered, from, sizeof(T) * head_dim_);
          gathered += head_dim_;
        }
      }
    }
  }

  const std::int64_t grid_, tokens_, dim_, heads_, head_dim_, linear_rows_;
  AlignedVector<T> normed_, qkv_, attended_, hidden_;
  std::map<std::int64_t, GridAttention<T>> attention_;  // by window
  std::vector<Block> blocks_;
  std::vector<typename GridAttention<T>::Keys> keys_;        // of each head
  std::vector<typename GridAttention<T>::Scratch> scratch_;  // of each thread
};

}  // namespace

PackedBlocks::PackedBlocks(ImageEncoderViTImpl& encoder, const ImageEncoderConfig& config,
                           nn::onednn::Precision precision, int threads) {
  impl_ = nn::onednn::VisitType(precision,
                                [&]<typename T>(std::type_identity<T>) -> std::unique_ptr<Impl> {
                                  return std::make_unique<TypedBlocks<T>>(encoder, config, threads);
                                });
}

PackedBlocks::~PackedBlocks() = default;

void PackedBlocks::Run(std::int64_t index, float* tokens, const Pause& pause) {
  impl_->Run(index, tokens, pause);
}

std::size_t PackedBlocks::weight_bytes() const { return impl_->weight_bytes(); }

}  // namespace segmenter
