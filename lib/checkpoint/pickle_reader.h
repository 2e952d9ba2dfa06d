// Reads a Python pickle as data. Python's own unpickler calls whatever the file names; this one
// calls nothing: it builds a tree of plain values, in which every call and every object of a class
// is only recorded, with the function's or class's name and the arguments.
//
// Understood: protocols 2 to 5 without out-of-band buffers and extension codes, which is all that
// torch.save writes. Values that the pickle refers to more than once are shared, and may even
// contain themselves: code that walks the tree must bound the walk, and must not copy text or items
// once for each time that they are referred to. Bounded: work and memory by the pickle's length and
// by PickleLimits; no recursion, not when the tree is destroyed either.
#ifndef DUET_CHECKPOINT_PICKLE_READER_H_
#define DUET_CHECKPOINT_PICKLE_READER_H_

#include <absl/container/node_hash_set.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace checkpoint {

struct PickleValue {
  enum class Kind : std::uint8_t {
    kNone,
    kBool,
    kInt,     // fits into 64 bits
    kBigInt,  // does not: `text` is its two's complement, little-endian
    kFloat,
    kString,  // `text`: should be UTF-8, which is not checked here
    kBytes,
    kTuple,         // `items`
    kList,          // `items`; sets too
    kDict,          // `items`: key, value, key, value...; collections.OrderedDict too
    kGlobal,        // `text`: "module.name", a class or function
    kObject,        // `items[0]`: what was called or instantiated, `items[1]`: the arguments
    kPersistentId,  // `items[0]`: a reference to something outside of the pickle, for torch: a
                    // storage
  };

  PickleValue() : items() {}
  explicit PickleValue(Kind kind) : kind(kind), items() {}
  PickleValue(Kind kind, std::int64_t integer) : kind(kind), integer(integer) {}

  bool Is(Kind wanted) const { return kind == wanted; }
  bool IsSequence() const { return kind == Kind::kTuple || kind == Kind::kList; }

  // One byte of a pickle can make a value, so a value is small: only the member that its kind names
  // may be read.
  Kind kind = Kind::kNone;
  union {
    std::int64_t integer;   // kInt, kBool
    double real;            // kFloat
    std::string_view text;  // points into the pickle, or is owned by the Pickle (kGlobal)
    std::span<const PickleValue* const> items;  // owned by the Pickle, never null
  };
};
static_assert(sizeof(PickleValue) == 24);

// The value of the last entry with this key, or null; null too if `dict` isn't a kDict.
const PickleValue* FindKey(const PickleValue& dict, std::string_view key);

// A value tree with its memory. Moving it keeps all values where they are. It must not outlive the
// pickle's bytes.
struct Pickle {
  const PickleValue* root = nullptr;
  std::size_t length = 0;  // bytes up to and including the STOP opcode
  std::deque<PickleValue> values;
  std::vector<std::unique_ptr<const PickleValue*[]>> item_blocks;
  absl::node_hash_set<std::string> names;
};

struct PickleLimits {
  // An opcode or an element copied is a step. A checkpoint of a large model with its optimizer
  // takes 10^5 to 10^6.
  std::size_t max_steps = std::size_t{1} << 25;
  // 24 bytes each, 48 MiB in all.
  std::size_t max_values = std::size_t{1} << 21;
  // Places of the stack, and of the items of containers with their room to grow: 8 bytes each, at
  // most 64 MiB for either. A value is usually in one container, a key that is shared in more.
  std::size_t max_elements = std::size_t{1} << 23;
};

// Reads the one pickle at the beginning of `bytes`; more may follow it. InvalidArgument, with the
// byte offset.
absl::StatusOr<Pickle> ReadPickle(std::string_view bytes, const PickleLimits& limits = {});

}  // namespace checkpoint

#endif  // DUET_CHECKPOINT_PICKLE_READER_H_
