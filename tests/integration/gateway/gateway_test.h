// A test of a whole gateway whose detector and segmenter are both fakes in one server.
#ifndef DUET_TESTS_INTEGRATION_GATEWAY_GATEWAY_TEST_H_
#define DUET_TESTS_INTEGRATION_GATEWAY_GATEWAY_TEST_H_

#include <gtest/gtest.h>

#include <memory>
#include <utility>

#include "tests/integration/gateway/fake_services.h"
#include "tests/integration/gateway/harness.h"

namespace gateway::testing {

class GatewayTest : public ::testing::Test {
 protected:
  // Starts the gateway and waits until it knows the models.
  Harness& Start(HarnessOptions options = {}) {
    options.detector = services_.address();
    options.segmenter = services_.address();
    harness_ = std::make_unique<Harness>(std::move(options));
    harness_->AwaitModels();
    return *harness_;
  }

  FakeServices services_;
  std::unique_ptr<Harness> harness_;  // null before Start
};

}  // namespace gateway::testing

#endif  // DUET_TESTS_INTEGRATION_GATEWAY_GATEWAY_TEST_H_
