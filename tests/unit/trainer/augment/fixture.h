// tests/data/trainer/augment/, as tools/make_augment_fixtures.py wrote it.
#ifndef DUET_TESTS_UNIT_TRAINER_AUGMENT_FIXTURE_H_
#define DUET_TESTS_UNIT_TRAINER_AUGMENT_FIXTURE_H_

#include <boost/json.hpp>
#include <opencv2/imgcodecs.hpp>
#include <string>

#include "tests/testing/temp_dir.h"

namespace trainer {

inline boost::json::value ReadFixture(const std::string& name) {
  return boost::json::parse(
      duet_testing::ReadFile(DUET_TEST_DATA "/trainer/augment/" + name + ".json"));
}

inline cv::Mat ReadFixtureImage(const std::string& name) {
  return cv::imread(DUET_TEST_DATA "/trainer/augment/" + name + ".png", cv::IMREAD_COLOR);
}

}  // namespace trainer

#endif  // DUET_TESTS_UNIT_TRAINER_AUGMENT_FIXTURE_H_
