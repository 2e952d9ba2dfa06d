// An image for tests of runs.
#ifndef DUET_TESTS_INTEGRATION_BULK_GIF_H_
#define DUET_TESTS_INTEGRATION_BULK_GIF_H_

#include <string>

namespace bulk_testing {

// The smallest GIF; what follows its end makes one image differ from another.
inline std::string Gif(int number) {
  return std::string(
             "GIF89a\x40\x01\xf0\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00"
             "\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00;",
             35) +
         std::to_string(number);
}

}  // namespace bulk_testing

#endif  // DUET_TESTS_INTEGRATION_BULK_GIF_H_
