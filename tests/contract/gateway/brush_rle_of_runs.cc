// Reads masks as lines "width height run run …" (row-major runs, background first), writes each as
// a line of Label Studio's brush RLE, a JSON list of bytes. For tests/e2e/test_brush_rle.py.
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "label_studio/brush_rle.h"
#include "label_studio/json_text.h"
#include "vision/mask_rle.h"

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    vision::Size size;
    words >> size.width >> size.height;
    std::vector<std::uint32_t> runs;
    for (std::uint32_t run; words >> run;) runs.push_back(run);
    const auto mask = vision::DecodeRowRuns(size, runs);
    if (!mask.ok()) {
      std::cerr << mask.status() << '\n';
      return 1;
    }
    std::string text;
    label_studio::AppendJsonBytes(label_studio::EncodeBrushRle(*mask), &text);
    std::cout << text << '\n';
  }
}
