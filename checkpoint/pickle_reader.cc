#include "checkpoint/pickle_reader.h"

#include <absl/container/flat_hash_map.h>
#include <absl/status/status.h>

#include <algorithm>
#include <bit>
#include <optional>
#include <utility>

#include "checkpoint/byte_order.h"
#include "checkpoint/str_cat.h"

namespace checkpoint {
namespace {

using Kind = PickleValue::Kind;

constexpr std::size_t kMaxNameLength = 256;  // of a module, or of a name in it
constexpr std::size_t kMaxNames = 1 << 16;

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

  PickleValue& Push(Kind kind) {
    if (pickle_.values.size() >= limits_.max_values) {
      Fail(StrCat("more than ", limits_.max_values, " values"));
      return scratch_;
    }
    PickleValue& value = pickle_.values.emplace_back();
    value.kind = kind;
    stack_.push_back(&value);
    return value;
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

  // Takes the last `count` values off the stack.
  std::vector<const PickleValue*> PopItems(std::size_t count) {
    if (!error_.ok()) return {};
    if (stack_.size() - Base() < count) {
      Fail("the stack is empty");
      return {};
    }
    std::vector<const PickleValue*> items(stack_.end() - static_cast<std::ptrdiff_t>(count),
                                          stack_.end());
    stack_.resize(stack_.size() - count);
    return items;
  }

  // Takes the values above the innermost mark off the stack, and the mark.
  std::vector<const PickleValue*> PopToMark() {
    if (marks_.empty()) {
      Fail("no mark");
      return {};
    }
    std::vector<const PickleValue*> items = PopItems(stack_.size() - marks_.back());
    marks_.pop_back();
    return items;
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

  void Put(std::uint64_t index) {
    PickleValue* top = Top();
    if (error_.ok()) memo_[index] = top;
  }

  void Get(std::uint64_t index) {
    const auto found = memo_.find(index);
    if (found == memo_.end()) return Fail("an unknown memo entry");
    stack_.push_back(found->second);
  }

  void AddItems(std::vector<const PickleValue*> added) {
    PickleValue* target = Top();
    if (!error_.ok()) return;
    // A list of an unknown class keeps nothing: nobody reads it.
    if (target->Is(Kind::kObject)) return;
    if (!target->Is(Kind::kList)) return Fail("items added to something that isn't a list");
    target->items.insert(target->items.end(), added.begin(), added.end());
  }

  void SetItems(std::vector<const PickleValue*> added) {
    PickleValue* target = Top();
    if (!error_.ok()) return;
    if (added.size() % 2 != 0) return Fail("a key without a value");
    if (target->Is(Kind::kObject)) return;
    if (!target->Is(Kind::kDict)) return Fail("entries added to something that isn't a dictionary");
    target->items.insert(target->items.end(), added.begin(), added.end());
  }

  // The dictionary that `called`(`arguments`) makes, if it makes one: no items, an iterable of
  // pairs, or a dictionary.
  std::optional<std::vector<const PickleValue*>> DictItems(const PickleValue& called,
                                                           const PickleValue& arguments) {
    if (!called.Is(Kind::kGlobal)) return std::nullopt;
    if (called.text != "collections.OrderedDict" && called.text != "builtins.dict" &&
        called.text != "__builtin__.dict" && called.text != "mmengine.config.config.ConfigDict" &&
        called.text != "addict.addict.Dict") {
      return std::nullopt;
    }
    if (!arguments.Is(Kind::kTuple) || arguments.items.size() > 1) return std::nullopt;
    if (arguments.items.empty()) return std::vector<const PickleValue*>();
    const PickleValue& source = *arguments.items[0];
    Charge(source.items.size());
    if (source.Is(Kind::kDict)) return source.items;
    if (!source.IsSequence()) return std::nullopt;
    std::vector<const PickleValue*> items;
    for (const PickleValue* pair : source.items) {
      if (!pair->IsSequence() || pair->items.size() != 2) return std::nullopt;
      items.insert(items.end(), pair->items.begin(), pair->items.end());
    }
    return items;
  }

  void Call() {
    const PickleValue* arguments = Pop();
    const PickleValue* called = Pop();
    if (!error_.ok()) return;
    if (auto items = DictItems(*called, *arguments); items.has_value()) {
      Push(Kind::kDict).items = *std::move(items);
    } else {
      Push(Kind::kObject).items = {called, arguments};
    }
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
        PopToMark();
        return;
      case kDup: {
        PickleValue* top = Top();
        stack_.push_back(top);
        return;
      }

      case kNone:
        Push(Kind::kNone);
        return;
      case kNewTrue:
      case kNewFalse:
        Push(Kind::kBool).integer = opcode == kNewTrue;
        return;
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
        Push(Kind::kTuple);
        return;
      case kEmptyList:
      case kEmptySet:
        Push(Kind::kList);
        return;
      case kEmptyDict:
        Push(Kind::kDict);
        return;
      case kTuple1:
      case kTuple2:
      case kTuple3: {
        auto items = PopItems(opcode - kTuple1 + 1u);
        Push(Kind::kTuple).items = std::move(items);
        return;
      }
      case kTuple: {
        auto items = PopToMark();
        Push(Kind::kTuple).items = std::move(items);
        return;
      }
      case kList:
      case kFrozenSet: {
        auto items = PopToMark();
        Push(Kind::kList).items = std::move(items);
        return;
      }
      case kDict: {
        auto items = PopToMark();
        if (items.size() % 2 != 0) return Fail("a key without a value");
        Push(Kind::kDict).items = std::move(items);
        return;
      }
      case kAppend:
        return AddItems(PopItems(1));
      case kAppends:
      case kAddItems:
        return AddItems(PopToMark());
      case kSetItem:
        return SetItems(PopItems(2));
      case kSetItems:
        return SetItems(PopToMark());

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
      case kBinPersId: {
        auto items = PopItems(1);
        Push(Kind::kPersistentId).items = std::move(items);
        return;
      }

      case kBinPut:
        return Put(TakeNumber<std::uint8_t>());
      case kLongBinPut:
        return Put(TakeNumber<std::uint32_t>());
      case kMemoize:
        return Put(memo_.size());
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
  absl::flat_hash_map<std::uint64_t, PickleValue*> memo_;
  PickleValue scratch_;  // what failing operations return
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
