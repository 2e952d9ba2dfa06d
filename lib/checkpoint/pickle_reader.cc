#include "checkpoint/pickle_reader.h"

#include <absl/status/status.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <utility>

#include "checkpoint/byte_order.h"
#include "text/str_cat.h"

namespace checkpoint {
namespace {

using text::StrCat;

using Kind = PickleValue::Kind;

constexpr std::size_t kMaxNameLength = 256;  // of a module, or of a name in it
// Different ones; a checkpoint has some tens. Two references of two bytes can make one of 512.
constexpr std::size_t kMaxNames = 1 << 12;
constexpr std::size_t kItemBlock = 1 << 12;  // pointers

// The values of Python's pickle.py (and of the pickletools documentation).
enum Opcode : unsigned char {
  kMark = '(',
  kStop = '.',
  kPop = '0',
  kPopMark = '1',
  kDup = '2',
  kBinFloat = 'G',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kNone = 'N',
  kBinPersId = 'Q',
  kReduce = 'R',
  kBinString = 'T',
  kShortBinString = 'U',
  kBinUnicode = 'X',
  kAppend = 'a',
  kBuild = 'b',
  kGlobal = 'c',
  kDict = 'd',
  kAppends = 'e',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kList = 'l',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kSetItem = 's',
  kTuple = 't',
  kSetItems = 'u',
  kBinBytes = 'B',
  kShortBinBytes = 'C',
  kEmptyTuple = ')',
  kEmptyList = ']',
  kEmptyDict = '}',
  kProto = 0x80,
  kNewObj = 0x81,
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kLong1 = 0x8a,
  kLong4 = 0x8b,
  kShortBinUnicode = 0x8c,
  kBinUnicode8 = 0x8d,
  kBinBytes8 = 0x8e,
  kEmptySet = 0x8f,
  kAddItems = 0x90,
  kFrozenSet = 0x91,
  kNewObjEx = 0x92,
  kStackGlobal = 0x93,
  kMemoize = 0x94,
  kFrame = 0x95,
  kByteArray8 = 0x96,
};

// The stack machine. Each method reads one kind of operand or performs one opcode; the first
// failure is kept in `error_`, and everything after it does nothing.
class Machine {
 public:
  Machine(std::string_view bytes, const PickleLimits& limits) : bytes_(bytes), limits_(limits) {}

  absl::StatusOr<Pickle> Run() {
    while (error_.ok() && pickle_.root == nullptr) {
      opcode_offset_ = position_;
      Charge(1);
      const std::string_view opcode = Take(1);
      if (!opcode.empty()) Execute(static_cast<unsigned char>(opcode[0]));
    }
    if (!error_.ok()) return error_;
    pickle_.length = position_;
    return std::move(pickle_);
  }

 private:
  void Fail(std::string_view what) {
    if (!error_.ok()) return;
    error_ =
        absl::InvalidArgumentError(StrCat("damaged pickle: ", what, " at byte ", opcode_offset_));
  }

  void Charge(std::size_t steps) {
    steps_ += steps;
    if (steps_ > limits_.max_steps) Fail(StrCat("more than ", limits_.max_steps, " steps"));
  }

  // ---- operands

  // Empty on failure.
  std::string_view Take(std::uint64_t length) {
    if (length > bytes_.size() - position_) {
      Fail("it ends early");
      return {};
    }
    const std::string_view taken = bytes_.substr(position_, length);
    position_ += length;
    return taken;
  }

  // 0 on failure.
  template <typename T>
  T TakeNumber() {
    const std::string_view taken = Take(sizeof(T));
    return taken.empty() ? T{} : LoadLittleEndian<T>(taken.data());
  }

  template <typename Length>
  std::string_view TakeCounted() {
    const auto length = TakeNumber<Length>();
    if constexpr (std::is_signed_v<Length>) {
      if (length < 0) {
        Fail("a negative length");
        return {};
      }
    }
    return Take(static_cast<std::uint64_t>(length));
  }

  std::string_view TakeLine() {
    const std::size_t end = bytes_.substr(position_, kMaxNameLength + 1).find('\n');
    if (end == std::string_view::npos) {
      Fail("a name without an end, or a very long one,");
      return {};
    }
    const std::string_view line = Take(end);
    Take(1);
    return line;
  }

  // ---- stack

  void PushReference(PickleValue* value) {
    if (stack_.size() >= limits_.max_elements) {
      return Fail(StrCat("more than ", limits_.max_elements, " values on the stack"));
    }
    stack_.push_back(value);
  }

  PickleValue& Push(Kind kind) {
    if (pickle_.values.size() >= limits_.max_values) {
      Fail(StrCat("more than ", limits_.max_values, " values"));
      return scratch_;
    }
    PickleValue& value = pickle_.values.emplace_back(kind);
    PushReference(&value);
    return value;
  }

  // None, True, False and () are one object each in Python, too. Nothing writes to them: only lists
  // and dictionaries grow.
  void PushConstant(Kind kind, std::int64_t integer = 0) {
    static const PickleValue kNone;
    static const PickleValue kBools[] = {{Kind::kBool, 0}, {Kind::kBool, 1}};
    static const PickleValue kEmptyTuple(Kind::kTuple);
    const PickleValue& constant = kind == Kind::kTuple  ? kEmptyTuple
                                  : kind == Kind::kBool ? kBools[integer]
                                                        : kNone;
    PushReference(const_cast<PickleValue*>(&constant));
  }

  void PushText(Kind kind, std::string_view text) { Push(kind).text = text; }

  // Where the innermost mark's values begin.
  std::size_t Base() const { return marks_.empty() ? 0 : marks_.back(); }

  // The top value; a harmless one on failure.
  PickleValue* Top() {
    if (stack_.size() <= Base()) {
      Fail("the stack is empty");
      return &scratch_;
    }
    return stack_.back();
  }

  PickleValue* Pop() {
    PickleValue* top = Top();
    if (error_.ok()) stack_.pop_back();
    return top;
  }

  // Removes the innermost mark and returns how many values were above it; 0 on failure.
  std::size_t TakeMark() {
    if (marks_.empty()) {
      Fail("no mark");
      return 0;
    }
    const std::size_t count = stack_.size() - marks_.back();
    marks_.pop_back();
    return count;
  }

  // Where the last `count` values begin on the stack.
  PickleValue* const* Last(std::size_t count) {
    if (stack_.size() - Base() < count) {
      Fail("the stack is empty");
      return nullptr;
    }
    return stack_.data() + (stack_.size() - count);
  }

  // ---- items

  const PickleValue** NewBlock(std::size_t count) {
    pickle_.item_blocks.push_back(std::make_unique<const PickleValue*[]>(count));
    return pickle_.item_blocks.back().get();
  }

  // Memory that lives as long as the pickle. Null on failure.
  const PickleValue** NewItems(std::size_t count) {
    elements_ += count;
    if (elements_ > limits_.max_elements) {
      Fail(StrCat("more than ", limits_.max_elements, " items in containers"));
      return nullptr;
    }
    if (count > kItemBlock / 8) return NewBlock(count);  // so that no more of a block is wasted
    if (count > block_left_) {
      block_ = NewBlock(kItemBlock);
      block_left_ = kItemBlock;
    }
    const PickleValue** items = block_;
    block_ += count;
    block_left_ -= count;
    return items;
  }

  // Adds `added` to the items of `value`, which are followed by room up to the next power of two.
  void AppendItems(PickleValue& value, const PickleValue* const* added, std::size_t count) {
    if (!error_.ok() || count == 0) return;
    const std::size_t old_size = value.items.size();
    const std::size_t size = old_size + count;
    const std::size_t room = old_size == 0 ? 0 : std::bit_ceil(old_size);
    auto* items = const_cast<const PickleValue**>(value.items.data());
    if (size > room) {
      const PickleValue** moved = NewItems(std::bit_ceil(size));
      if (moved == nullptr) return;
      std::copy_n(items, old_size, moved);
      items = moved;
    }
    std::copy_n(added, count, items + old_size);
    value.items = {items, size};
  }

  // Replaces the last `count` values of the stack by one of `kind` that holds them.
  void Collect(Kind kind, std::size_t count) {
    PickleValue* const* added = Last(count);
    if (!error_.ok()) return;
    PickleValue made(kind);
    AppendItems(made, added, count);
    if (!error_.ok()) return;
    stack_.resize(stack_.size() - count);
    Push(kind).items = made.items;
  }

  // ---- opcodes

  void PushInt(std::int64_t value) { Push(Kind::kInt).integer = value; }

  void PushLong(std::string_view twos_complement) {
    if (twos_complement.size() > sizeof(std::int64_t)) {
      PushText(Kind::kBigInt, twos_complement);
      return;
    }
    const bool negative = !twos_complement.empty() && (twos_complement.back() & 0x80) != 0;
    std::uint64_t value = negative ? ~std::uint64_t{0} : 0;
    if (!twos_complement.empty()) {
      std::memcpy(&value, twos_complement.data(), twos_complement.size());
    }
    PushInt(static_cast<std::int64_t>(value));
  }

  void PushFloat() {
    auto bits = TakeNumber<std::uint64_t>();
    bits = __builtin_bswap64(bits);  // the one big-endian number in the format
    Push(Kind::kFloat).real = std::bit_cast<double>(bits);
  }

  void PushGlobal(std::string_view module, std::string_view name) {
    if (!error_.ok()) return;
    if (module.size() > kMaxNameLength || name.size() > kMaxNameLength) {
      return Fail("a very long name");
    }
    const auto [found, added] = pickle_.names.insert(StrCat(module, ".", name));
    if (added && pickle_.names.size() > kMaxNames) return Fail("too many names");
    PushText(Kind::kGlobal, *found);
  }

  // Python numbers the values that it remembers from 0 or 1, and remembers each once. Other writers
  // may leave gaps.
  void Put(std::uint64_t index) {
    PickleValue* top = Top();
    if (!error_.ok()) return;
    if (index > 2 * pickle_.values.size() + 255) return Fail("more memo entries than values");
    if (index >= memo_.size()) memo_.resize(index + 1);
    if (memo_[index] == nullptr) ++memo_count_;
    memo_[index] = top;
  }

  void Get(std::uint64_t index) {
    if (index >= memo_.size() || memo_[index] == nullptr) return Fail("an unknown memo entry");
    PushReference(memo_[index]);
  }

  // Moves the last `count` values into the container of `kind` below them.
  void Extend(Kind kind, std::size_t count) {
    PickleValue* const* values = Last(count + 1);
    if (!error_.ok()) return;
    PickleValue& target = *values[0];
    if (target.Is(kind)) {
      if (kind == Kind::kDict && count % 2 != 0) return Fail("a key without a value");
      AppendItems(target, values + 1, count);
      // A container of an unknown class keeps nothing: nobody reads it.
    } else if (!target.Is(Kind::kObject)) {
      return Fail(kind == Kind::kList ? "items added to something that isn't a list"
                                      : "entries added to something that isn't a dictionary");
    }
    if (error_.ok()) stack_.resize(stack_.size() - count);
  }

  // Fills `dict` with what `called`(`arguments`) has, if that makes a dictionary: no items, an
  // iterable of pairs, or a dictionary. Returns whether it does.
  bool MakeDict(const PickleValue& called, const PickleValue& arguments, PickleValue& dict) {
    if (!called.Is(Kind::kGlobal)) return false;
    if (called.text != "collections.OrderedDict" && called.text != "builtins.dict" &&
        called.text != "__builtin__.dict" && called.text != "mmengine.config.config.ConfigDict" &&
        called.text != "addict.addict.Dict") {
      return false;
    }
    if (!arguments.Is(Kind::kTuple) || arguments.items.size() > 1) return false;
    dict.kind = Kind::kDict;
    if (arguments.items.empty()) return true;
    const PickleValue& source = *arguments.items[0];
    if (!source.Is(Kind::kDict) && !source.IsSequence()) return false;
    const auto add = [&](std::span<const PickleValue* const> items) {
      copied_ += items.size();
      Charge(items.size());
      // Each item took a byte at least, and Python makes a dictionary of it once.
      if (copied_ > position_) Fail("dictionaries copied over and over");
      AppendItems(dict, items.data(), items.size());
    };
    if (source.Is(Kind::kDict)) {
      add(source.items);
      return true;
    }
    for (const PickleValue* pair : source.items) {
      if (!pair->IsSequence() || pair->items.size() != 2) return false;
    }
    for (const PickleValue* pair : source.items) {
      add(pair->items);
      if (!error_.ok()) break;
    }
    return true;
  }

  void Call() {
    PickleValue* const* call = Last(2);
    if (!error_.ok()) return;
    PickleValue dict;
    if (!MakeDict(*call[0], *call[1], dict)) return Collect(Kind::kObject, 2);
    stack_.resize(stack_.size() - 2);
    if (error_.ok()) Push(Kind::kDict).items = dict.items;
  }

  void Execute(unsigned char opcode) {
    switch (opcode) {
      case kProto: {
        const auto protocol = TakeNumber<std::uint8_t>();
        if (protocol > 5) Fail(StrCat("protocol ", protocol, " (2 to 5 are known)"));
        return;
      }
      case kFrame:
        if (TakeNumber<std::uint64_t>() > bytes_.size() - position_) Fail("it ends early");
        return;
      case kStop:
        pickle_.root = Pop();
        if (error_.ok() && (!stack_.empty() || !marks_.empty())) Fail("values left over");
        return;

      case kMark:
        if (marks_.size() >= limits_.max_elements) {
          return Fail(StrCat("more than ", limits_.max_elements, " marks"));
        }
        marks_.push_back(stack_.size());
        return;
      case kPop:
        // As CPython: on an empty segment it takes the mark.
        if (!marks_.empty() && marks_.back() == stack_.size()) {
          marks_.pop_back();
        } else {
          Pop();
        }
        return;
      case kPopMark:
        stack_.resize(stack_.size() - TakeMark());
        return;
      case kDup:
        return PushReference(Top());

      case kNone:
        return PushConstant(Kind::kNone);
      case kNewTrue:
      case kNewFalse:
        return PushConstant(Kind::kBool, opcode == kNewTrue);
      case kBinInt:
        return PushInt(TakeNumber<std::int32_t>());
      case kBinInt1:
        return PushInt(TakeNumber<std::uint8_t>());
      case kBinInt2:
        return PushInt(TakeNumber<std::uint16_t>());
      case kLong1:
        return PushLong(TakeCounted<std::uint8_t>());
      case kLong4:
        return PushLong(TakeCounted<std::int32_t>());
      case kBinFloat:
        return PushFloat();

      case kBinUnicode:
        return PushText(Kind::kString, TakeCounted<std::uint32_t>());
      case kShortBinUnicode:
        return PushText(Kind::kString, TakeCounted<std::uint8_t>());
      case kBinUnicode8:
        return PushText(Kind::kString, TakeCounted<std::uint64_t>());
      // Python 2's str: text in practice.
      case kBinString:
        return PushText(Kind::kString, TakeCounted<std::int32_t>());
      case kShortBinString:
        return PushText(Kind::kString, TakeCounted<std::uint8_t>());
      case kBinBytes:
        return PushText(Kind::kBytes, TakeCounted<std::uint32_t>());
      case kShortBinBytes:
        return PushText(Kind::kBytes, TakeCounted<std::uint8_t>());
      case kBinBytes8:
      case kByteArray8:
        return PushText(Kind::kBytes, TakeCounted<std::uint64_t>());

      case kEmptyTuple:
        return PushConstant(Kind::kTuple);
      case kEmptyList:
      case kEmptySet:
        Push(Kind::kList);
        return;
      case kEmptyDict:
        Push(Kind::kDict);
        return;
      case kTuple1:
      case kTuple2:
      case kTuple3:
        return Collect(Kind::kTuple, static_cast<std::size_t>(opcode - kTuple1 + 1));
      case kTuple:
        return Collect(Kind::kTuple, TakeMark());
      case kList:
      case kFrozenSet:
        return Collect(Kind::kList, TakeMark());
      case kDict: {
        const std::size_t count = TakeMark();
        if (count % 2 != 0) return Fail("a key without a value");
        return Collect(Kind::kDict, count);
      }
      case kAppend:
        return Extend(Kind::kList, 1);
      case kAppends:
      case kAddItems:
        return Extend(Kind::kList, TakeMark());
      case kSetItem:
        return Extend(Kind::kDict, 2);
      case kSetItems:
        return Extend(Kind::kDict, TakeMark());

      case kGlobal: {
        const std::string_view module = TakeLine();
        const std::string_view name = TakeLine();
        return PushGlobal(module, name);
      }
      case kStackGlobal: {
        const PickleValue* name = Pop();
        const PickleValue* module = Pop();
        if (!error_.ok()) return;
        if (!name->Is(Kind::kString) || !module->Is(Kind::kString)) {
          return Fail("a global whose name isn't text");
        }
        return PushGlobal(module->text, name->text);
      }
      case kReduce:
      case kNewObj:
        return Call();
      case kNewObjEx:
        Pop();  // keyword arguments
        return Call();
      case kBuild:
        // Attributes: nobody reads them (on a state_dict: `_metadata`, the modules' versions).
        Pop();
        Top();
        return;
      case kBinPersId:
        return Collect(Kind::kPersistentId, 1);

      case kBinPut:
        return Put(TakeNumber<std::uint8_t>());
      case kLongBinPut:
        return Put(TakeNumber<std::uint32_t>());
      case kMemoize:
        return Put(memo_count_);
      case kBinGet:
        return Get(TakeNumber<std::uint8_t>());
      case kLongBinGet:
        return Get(TakeNumber<std::uint32_t>());

      default:
        return Fail(StrCat("unknown opcode 0x", absl::Hex(opcode, absl::kZeroPad2)));
    }
  }

  const std::string_view bytes_;
  const PickleLimits limits_;
  std::size_t position_ = 0;
  std::size_t opcode_offset_ = 0;
  std::size_t steps_ = 0;
  absl::Status error_;

  Pickle pickle_;
  // Not const like the values' own items: a container grows after it was put on the stack.
  std::vector<PickleValue*> stack_;
  std::vector<std::size_t> marks_;  // stack sizes
  std::vector<PickleValue*> memo_;
  std::size_t memo_count_ = 0;           // entries that are there
  const PickleValue** block_ = nullptr;  // the room that is left in the last block of items
  std::size_t block_left_ = 0;
  std::size_t elements_ = 0;  // in all blocks
  std::size_t copied_ = 0;    // items, from dictionary to dictionary
  PickleValue scratch_;       // what failing operations return
};

}  // namespace

const PickleValue* FindKey(const PickleValue& dict, std::string_view key) {
  if (!dict.Is(Kind::kDict)) return nullptr;
  for (std::size_t i = dict.items.size(); i >= 2; i -= 2) {
    const PickleValue& candidate = *dict.items[i - 2];
    if (candidate.Is(Kind::kString) && candidate.text == key) return dict.items[i - 1];
  }
  return nullptr;
}

absl::StatusOr<Pickle> ReadPickle(std::string_view bytes, const PickleLimits& limits) {
  return Machine(bytes, limits).Run();
}

}  // namespace checkpoint
