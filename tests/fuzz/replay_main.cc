// Runs a fuzz target without libFuzzer, so that it builds with any compiler and runs in ctest: over
// every file that is given or lies in a folder that is given, and over `--mutations` damaged copies
// of each, the same ones every time.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

void Run(const std::string& input) {
  // On the heap and exactly as long as the input, so that the sanitizers see any step beyond it.
  const std::vector<std::uint8_t> copy(input.begin(), input.end());
  LLVMFuzzerTestOneInput(copy.data(), copy.size());
}

// Flips, overwrites, removes, repeats and cuts: what damage and malice do.
std::string Mutate(std::string input, std::mt19937_64& random) {
  const auto below = [&random](std::size_t limit) {
    return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random);
  };
  const std::size_t changes = 1 + below(4);
  for (std::size_t i = 0; i < changes && !input.empty(); ++i) {
    const std::size_t at = below(input.size());
    const std::size_t length = 1 + below(std::min<std::size_t>(input.size() - at, 16));
    switch (below(6)) {
      case 0:
        input[at] = static_cast<char>(input[at] ^ (1 << below(8)));
        break;
      case 1:
        input[at] = static_cast<char>(below(256));
        break;
      case 2:
        input.erase(at, length);
        break;
      case 3:
        input.insert(at, input.substr(at, length));
        break;
      case 4:
        for (std::size_t j = at; j < at + length; ++j) input[j] = static_cast<char>(below(2) * 255);
        break;
      case 5:
        if (below(8) == 0) input.resize(at);
        break;
    }
  }
  return input;
}

std::vector<std::filesystem::path> Files(const std::filesystem::path& path) {
  if (!std::filesystem::is_directory(path)) return {path};
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(path)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

int main(int argc, char** argv) {
  constexpr std::string_view kMutations = "--mutations=";
  int mutations = 0;
  std::size_t inputs = 0;
  Run("");
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument.starts_with(kMutations)) {
      mutations = std::atoi(argv[i] + kMutations.size());
      continue;
    }
    for (const auto& path : Files(argument)) {
      std::ifstream file(path, std::ios::binary);
      if (!file) {
        std::cerr << path << ": cannot open\n";
        return 1;
      }
      const std::string input{std::istreambuf_iterator<char>(file), {}};
      Run(input);
      std::mt19937_64 random(input.size());
      for (int j = 0; j < mutations; ++j) Run(Mutate(input, random));
      ++inputs;
    }
  }
  if (inputs == 0) {
    std::cerr << "usage: " << argv[0] << " [--mutations=N] FILE_OR_FOLDER...\n";
    return 1;
  }
  std::cout << inputs << " inputs, " << mutations << " mutations of each\n";
}
