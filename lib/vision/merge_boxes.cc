#include "vision/merge_boxes.h"

#include <absl/container/flat_hash_map.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <tuple>
#include <utility>

namespace vision {
namespace {

constexpr std::size_t kNobody = std::numeric_limits<std::size_t>::max();

bool HasArea(const Box& box) {
  // Of two infinite sides, or of one that is no number, the difference isn't finite either.
  return std::isfinite(box.width()) && std::isfinite(box.height()) && box.width() > 0 &&
         box.height() > 0;
}

// In T's precision: SAHI finds candidates in float32, and joins them in float64.
template <typename T>
bool Match(const Box& a, const Box& b, const MergeOptions& options) {
  const T width = std::min<T>(a.x_max, b.x_max) - std::max<T>(a.x_min, b.x_min);
  const T height = std::min<T>(a.y_max, b.y_max) - std::max<T>(a.y_min, b.y_min);
  if (width <= 0 || height <= 0) return false;
  const T common = width * height;
  const T area_a = (T{a.x_max} - T{a.x_min}) * (T{a.y_max} - T{a.y_min});
  const T area_b = (T{b.x_max} - T{b.x_min}) * (T{b.y_max} - T{b.y_min});
  const T whole =
      options.metric == OverlapMetric::kIou ? area_a + area_b - common : std::min(area_a, area_b);
  return common / whole >= static_cast<T>(options.threshold);
}

// Boxes by place, to find those that overlap one. Each lies in the cell of its centre, in the grid
// of its level: cells of level L have sides of 2^L, and hold boxes with sides up to that, so that a
// box reaches at most half a cell past its own.
class BoxIndex {
 public:
  // Holds those of `members` that have an area.
  BoxIndex(std::span<const ScoredBox> boxes, std::span<const std::size_t> members) {
    std::vector<std::pair<std::uint64_t, std::size_t>> places;
    places.reserve(members.size());
    for (const std::size_t member : members) {
      const Box& box = boxes[member].box;
      if (!HasArea(box)) continue;
      const int level = LevelOf(box);
      levels_ |= std::uint32_t{1} << level;
      places.emplace_back(KeyOf(level, Column(level, (box.x_min + box.x_max) / 2),
                                Column(level, (box.y_min + box.y_max) / 2)),
                          member);
    }
    std::sort(places.begin(), places.end());
    entries_.reserve(places.size());
    for (const auto& [key, member] : places) {
      if (cells_.empty() || cells_.back().key != key) {
        cells_.push_back({key, entries_.size(), entries_.size()});
      }
      entries_.push_back({boxes[member].box, member});
      ++cells_.back().end;
    }
    cell_at_.reserve(cells_.size());
    for (std::size_t i = 0; i < cells_.size(); ++i) cell_at_[cells_[i].key] = i;
  }

  // Calls `visit(index, box)` for each box that may overlap `box`, which has an area. Those for
  // which `is_gone(index)` leave the index, so that a crowd isn't visited again and again.
  template <typename IsGone, typename Visit>
  void VisitNear(const Box& box, const IsGone& is_gone, const Visit& visit) {
    for (int level = 0; level < kLevels; ++level) {
      if ((levels_ >> level & 1) == 0) continue;
      const float reach = std::ldexp(0.5F, level);
      const std::int64_t left = Column(level, box.x_min - reach);
      const std::int64_t right = Column(level, box.x_max + reach);
      const std::int64_t top = Column(level, box.y_min - reach);
      const std::int64_t bottom = Column(level, box.y_max + reach);
      const double asked = (1.0 + right - left) * (1.0 + bottom - top);
      if (asked > static_cast<double>(cells_.size())) {
        for (Cell& cell : cells_) {
          if (static_cast<int>(cell.key >> 58) == level) VisitCell(cell, is_gone, visit);
        }
        continue;
      }
      for (std::int64_t y = top; y <= bottom; ++y) {
        for (std::int64_t x = left; x <= right; ++x) {
          const auto found = cell_at_.find(KeyOf(level, x, y));
          if (found != cell_at_.end()) VisitCell(cells_[found->second], is_gone, visit);
        }
      }
    }
  }

 private:
  struct Entry {
    Box box;
    std::size_t index;
  };
  struct Cell {
    std::uint64_t key;
    // Which entries are left of it.
    std::size_t begin;
    std::size_t end;
  };
  static constexpr int kLevels = 32;
  static constexpr std::int64_t kColumns = std::int64_t{1} << 29;

  // Boxes below a pixel share a level, as do those that no image holds.
  static int LevelOf(const Box& box) {
    return std::clamp(std::ilogb(std::max(box.width(), box.height())) + 1, 0, kLevels - 1);
  }

  // Coordinates that no image has share the outermost columns.
  static std::int64_t Column(int level, float x) {
    constexpr auto kFarthest = static_cast<float>(kColumns / 2 - 1);
    return static_cast<std::int64_t>(
        std::clamp(std::floor(std::ldexp(x, -level)), -kFarthest, kFarthest));
  }

  static std::uint64_t KeyOf(int level, std::int64_t x, std::int64_t y) {
    return static_cast<std::uint64_t>(level) << 58 |
           static_cast<std::uint64_t>(x + kColumns / 2) << 29 |
           static_cast<std::uint64_t>(y + kColumns / 2);
  }

  template <typename IsGone, typename Visit>
  void VisitCell(Cell& cell, const IsGone& is_gone, const Visit& visit) {
    for (std::size_t i = cell.begin; i < cell.end;) {
      if (is_gone(entries_[i].index)) {
        entries_[i] = entries_[--cell.end];
      } else {
        visit(entries_[i].index, entries_[i].box);
        ++i;
      }
    }
  }

  std::uint32_t levels_ = 0;  // bits
  std::vector<Entry> entries_;
  std::vector<Cell> cells_;
  absl::flat_hash_map<std::uint64_t, std::size_t> cell_at_;  // key to index
};

// Where a box comes in the order: smaller is earlier.
auto RankOf(const ScoredBox& one) {
  return std::make_tuple(-one.score, one.box.x_min, one.box.y_min, one.box.x_max, one.box.y_max);
}

auto CornersOf(const Box& box) {
  return std::make_tuple(box.x_min, box.y_min, box.x_max, box.y_max);
}

// Of boxes that may match each other, who takes whom.
class Group {
 public:
  // `order`: the group's boxes, in the order that they take others in.
  Group(std::span<const ScoredBox> boxes, std::vector<std::size_t> order,
        const MergeOptions& options, std::vector<std::size_t>& taker)
      : boxes_(boxes),
        order_(std::move(order)),
        options_(options),
        taker_(taker),
        index_(boxes, order_) {}

  // Calls `keep(strongest, taken)`, in the group's order.
  template <typename Keep>
  void Run(const Keep& keep) {
    if (options_.method == MergeMethod::kNmm) {
      RunTransitive(keep);
      return;
    }
    for (const std::size_t box : order_) {
      if (taker_[box] != kNobody) continue;
      taker_[box] = box;
      keep(box, Take(box, box));
    }
  }

 private:
  // What `box` takes for `taker`, in the order of the method.
  std::vector<std::size_t> Take(std::size_t box, std::size_t taker) {
    std::vector<std::size_t> taken;
    if (!HasArea(boxes_[box].box)) return taken;
    index_.VisitNear(
        boxes_[box].box, [&](std::size_t other) { return taker_[other] != kNobody; },
        [&](std::size_t other, const Box& there) {
          if (DoMatch(box, other, there) &&
              (options_.method != MergeMethod::kNmm || MayTake(box, other))) {
            taken.push_back(other);
          }
        });
    if (options_.method == MergeMethod::kNmm) {
      std::sort(taken.begin(), taken.end());
    } else {
      std::sort(taken.begin(), taken.end(), [&](std::size_t a, std::size_t b) {
        return std::make_tuple(RankOf(boxes_[a]), a) < std::make_tuple(RankOf(boxes_[b]), b);
      });
    }
    for (const std::size_t other : taken) taker_[other] = taker;
    return taken;
  }

  bool DoMatch(std::size_t box, std::size_t other, const Box& there) const {
    const Box& here = boxes_[box].box;
    if (!options_.matches) return Match<float>(here, there, options_);
    return here.x_min < there.x_max && there.x_min < here.x_max && here.y_min < there.y_max &&
           there.y_min < here.y_max && options_.matches(box, other);
  }

  // SAHI's NMM: of two boxes with one score, the one with the larger corners takes the other.
  bool MayTake(std::size_t box, std::size_t other) const {
    const ScoredBox& a = boxes_[box];
    const ScoredBox& b = boxes_[other];
    return a.score > b.score || (a.score == b.score && CornersOf(b.box) <= CornersOf(a.box));
  }

  template <typename Keep>
  void RunTransitive(const Keep& keep) {
    absl::flat_hash_map<std::size_t, std::vector<std::size_t>> taken_by;
    for (const std::size_t box : order_) {
      if (taker_[box] == kNobody) taker_[box] = box;
      const std::vector<std::size_t> more = Take(box, taker_[box]);
      if (more.empty()) continue;
      std::vector<std::size_t>& all = taken_by[taker_[box]];
      all.insert(all.end(), more.begin(), more.end());
    }
    for (const std::size_t box : order_) {
      if (taker_[box] == box) keep(box, std::move(taken_by[box]));
    }
  }

  std::span<const ScoredBox> boxes_;
  const std::vector<std::size_t> order_;
  const MergeOptions& options_;
  std::vector<std::size_t>& taker_;  // by box: who has taken it
  BoxIndex index_;
};

MergedBox Join(std::span<const ScoredBox> boxes, std::size_t strongest,
               const std::vector<std::size_t>& taken, const MergeOptions& options) {
  MergedBox merged{.whole = boxes[strongest], .strongest = strongest, .joined = {}};
  if (options.method == MergeMethod::kNms) return merged;
  for (const std::size_t index : taken) {
    const ScoredBox& other = boxes[index];
    if (!Match<double>(merged.whole.box, other.box, options)) continue;
    Box& whole = merged.whole.box;
    whole = {std::min(whole.x_min, other.box.x_min), std::min(whole.y_min, other.box.y_min),
             std::max(whole.x_max, other.box.x_max), std::max(whole.y_max, other.box.y_max)};
    // Of equal scores the later one's class, as in SAHI.
    if (merged.whole.score <= other.score) merged.whole.class_id = other.class_id;
    merged.whole.score = std::max(merged.whole.score, other.score);
    merged.joined.push_back(index);
  }
  return merged;
}

}  // namespace

std::vector<MergedBox> MergeBoxes(std::span<const ScoredBox> boxes, const MergeOptions& options) {
  std::vector<std::size_t> order(boxes.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return RankOf(boxes[a]) < RankOf(boxes[b]);
  });
  absl::flat_hash_map<int, std::vector<std::size_t>> groups;
  for (const std::size_t index : order) {
    groups[options.class_agnostic ? 0 : boxes[index].class_id].push_back(index);
  }

  std::vector<std::size_t> taker(boxes.size(), kNobody);
  std::vector<std::vector<std::size_t>> taken(boxes.size());
  for (auto& [class_id, members] : groups) {
    Group(boxes, std::move(members), options, taker)
        .Run([&](std::size_t strongest, std::vector<std::size_t> what) {
          taken[strongest] = std::move(what);
        });
  }
  std::vector<MergedBox> merged;
  for (const std::size_t index : order) {
    if (taker[index] == index) merged.push_back(Join(boxes, index, taken[index], options));
  }
  return merged;
}

}  // namespace vision
