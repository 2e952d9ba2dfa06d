// A program for tests/e2e/test_images_in_browser.py: prints for each file that is named a line of
// JSON, {"error": …} or what is decoded of it: size, damage, and the colours of a grid of 5 x 5
// pixels.
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

#include "vision/image_codec.h"

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    std::ifstream file(argv[i], std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    const auto image = vision::DecodeImage(bytes, {});
    boost::json::object line;
    if (!image.ok()) {
      line["error"] = std::string(image.status().message());
    } else {
      const cv::Mat& pixels = image->pixels;
      line["width"] = pixels.cols;
      line["height"] = pixels.rows;
      line["damage"] = image->damage;
      boost::json::array& grid = line["grid"].emplace_array();
      for (int y = 0; y < 5; ++y) {
        for (int x = 0; x < 5; ++x) {
          const auto& bgr =
              pixels.at<cv::Vec3b>((2 * y + 1) * pixels.rows / 10, (2 * x + 1) * pixels.cols / 10);
          grid.push_back(boost::json::array{bgr[2], bgr[1], bgr[0]});
        }
      }
    }
    std::cout << boost::json::serialize(line) << "\n";
  }
}
