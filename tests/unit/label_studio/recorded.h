// What Label Studio was recorded to send, and label configs (tests/data/label_studio).
#ifndef DUET_TESTS_UNIT_LABEL_STUDIO_RECORDED_H_
#define DUET_TESTS_UNIT_LABEL_STUDIO_RECORDED_H_

#include <string>

#include "tests/testing/temp_dir.h"

namespace label_studio {

inline std::string ReadRecorded(const std::string& name) {
  return duet_testing::ReadFile(DUET_TEST_DATA "/label_studio/" + name);
}

}  // namespace label_studio

#endif  // DUET_TESTS_UNIT_LABEL_STUDIO_RECORDED_H_
