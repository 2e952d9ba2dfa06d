// What reading a hostile file may cost. Counted at operator new, so that the machine plays no part.
#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <cstdlib>
#include <new>
#include <string>

#include "checkpoint/pickle_reader.h"
#include "checkpoint/pth_reader.h"
#include "checkpoint/safetensors_reader.h"
#include "tests/testing/checkpoint_files.h"

namespace {
std::size_t live_bytes = 0;
std::size_t peak_bytes = 0;
}  // namespace

void* operator new(std::size_t size) {
  void* const memory = std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  live_bytes += malloc_usable_size(memory);
  peak_bytes = std::max(peak_bytes, live_bytes);
  return memory;
}
void operator delete(void* memory) noexcept {
  live_bytes -= malloc_usable_size(memory);
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept { operator delete(memory); }

namespace checkpoint {
namespace {

using testing::Bytes;
using testing::Call;
using testing::Dict;
using testing::Global;
using testing::Program;
using testing::Storage;
using testing::Str;
using testing::Tensor;
using testing::Tuple;
using testing::ZipPth;
using namespace std::string_literals;

// The most that `read` holds at once.
template <typename Read>
std::size_t PeakOf(const Read& read) {
  const std::size_t before = live_bytes;
  peak_bytes = before;
  read();
  return peak_bytes - before;
}

std::string Repeated(const std::string& text, std::size_t bytes) {
  std::string out;
  while (out.size() < bytes) out += text;
  return out;
}

constexpr std::size_t kFile = 1 << 20;

// A byte may make a value (24 bytes) that is in a container (8, doubled for growth) and on the
// stack (8, doubled, and a half again while that grows): 64. The stack of tiny files has its
// blocks, too.
constexpr std::size_t kBytesPerByte = 64;
constexpr std::size_t kSlack = 256 << 10;

TEST(CheckpointMemoryTest, APicklesBytesJustifyWhatItTakes) {
  const std::string dict =
      Global("collections", "OrderedDict") + "q\x01" + "0}(" + Repeated("N", 400) + "u\x85q\x02";
  const struct {
    const char* what;
    std::string program;
  } cases[] = {
      {"MEMOIZE of one value", "]" + Repeated("\x94", kFile)},
      {"a far memo entry", "]r\xff\xff\xff\x7f"s},
      {"memo entries far apart", Repeated("]r\x00\x00\x00\x01"s, kFile)},
      {"values", Repeated("]", kFile)},
      {"values that are remembered", Repeated("]\x94", kFile)},
      {"values in a tuple", "(" + Repeated("]", kFile) + "t"},
      {"numbers in lists", "](" + Repeated("K\x07", kFile) + "e"},
      {"references on the stack", "]" + Repeated("2", kFile)},
      {"references in a tuple", "(]" + Repeated("2", kFile) + "t"},
      {"references from the memo", "]q\x01](" + Repeated("h\x01", kFile) + "e"},
      {"a list that holds itself, often", "]" + Repeated("2a", kFile)},
      {"marks", Repeated("(", kFile)},
      {"calls of calls", "]" + Repeated("]R", kFile)},
      {"dictionaries of a dictionary", dict + Repeated("0h\x01h\x02R", 64 << 10)},
      {"text", Repeated("U\x00"s, kFile)},
  };
  for (const auto& one : cases) {
    const std::string bytes = Program(one.program);
    const std::size_t peak = PeakOf([&] { (void)ReadPickle(bytes); });
    EXPECT_LT(peak, kBytesPerByte * bytes.size() + kSlack) << one.what;
  }
}

// However long the file, which may be a few gigabytes of storages.
TEST(CheckpointMemoryTest, APickleHasALimitOfItsOwn) {
  constexpr std::size_t kMost = std::size_t{400} << 20;  // PickleLimits' three, grown and copied
  constexpr std::size_t kLong = std::size_t{32} << 20;
  for (const std::string& program :
       {Repeated("]", kLong), Repeated("]\x94", kLong), "]" + Repeated("\x94", kLong),
        "(]" + Repeated("2", kLong) + "t", Repeated("(", kLong)}) {
    const std::string bytes = Program(program);
    EXPECT_LT(PeakOf([&] { (void)ReadPickle(bytes); }), kMost) << program.substr(0, 3);
  }
}

TEST(CheckpointMemoryTest, NamesMadeOfFewTextsAreBounded) {
  // 256 modules times 256 names: 65,536 names of 400 bytes for 8 bytes each.
  std::string body = "(";
  for (int i = 0; i < 512; ++i) {
    body += Str(std::string(200, static_cast<char>('a' + i % 16)) + std::to_string(i)) + "r";
    AppendLittleEndian(body, static_cast<std::uint32_t>(i));
  }
  for (int i = 0; i < 65536; ++i) {
    for (const int index : {i / 256, 256 + i % 256}) {
      body += "j";
      AppendLittleEndian(body, static_cast<std::uint32_t>(index));
    }
    body += "\x93";
  }
  const std::string bytes = Program(body + "t");

  EXPECT_LT(PeakOf([&] { (void)ReadPickle(bytes); }), 8 * bytes.size());
}

std::size_t PeakOfPth(const std::string& file) {
  return PeakOf([&] { (void)ReadZipPth(file, nullptr); });
}

TEST(CheckpointMemoryTest, ALongClassNameIsNotCopiedForEachReference) {
  const std::string classes =
      "](" + Str(std::string(kFile, 'x')) + "q\x01" + Repeated("h\x01", 1000) + "e";
  const std::string file = ZipPth(Dict({Str("meta"), Dict({Str("CLASSES"), classes}), Str("w"),
                                        Tensor(Storage("0", 1), 0, {1}, {1})}),
                                  {{"0", Bytes<float>({1})}});

  EXPECT_LT(PeakOfPth(file), 4 * file.size());
}

TEST(CheckpointMemoryTest, ATensorIsNotNamedWithoutEnd) {
  // Names of four bytes for one tensor of 64 dimensions.
  const std::vector<std::int64_t> ones(64, 1);
  std::string body = Tensor(Storage("0", 1), 0, ones, ones) + "r\x01\x00\x00\x00"s + "0}(";
  for (int i = 0; i < 1 << 18; ++i) {
    std::string name(4, '\0');
    for (int j = 0; j < 4; ++j) name[j] = static_cast<char>('0' + (i >> (6 * j)) % 64);
    body += "U\x04" + name + "j\x01\x00\x00\x00"s;
  }
  const std::string file = ZipPth(body + "u", {{"0", Bytes<float>({1})}});

  // A kilobyte for the shape and strides of each of 2^16, and the same while the list grows.
  EXPECT_LT(PeakOfPth(file), std::size_t{200} << 20);
}

TEST(CheckpointMemoryTest, ASafetensorsHeaderOfManyValuesIsBounded) {
  for (const std::size_t size : {kFile, std::size_t{15} << 20}) {
    const std::string header = "{\"__metadata__\":[" + Repeated("0,", size) + "0]}";
    std::string file;
    AppendLittleEndian(file, static_cast<std::uint64_t>(header.size()));
    file += header;

    // 24 bytes for two, twice while they move into their array.
    const std::size_t most = std::size_t{128} << 20;
    EXPECT_LT(PeakOf([&] { (void)ReadSafetensors(file, nullptr); }), most) << size;
  }
}

}  // namespace
}  // namespace checkpoint
