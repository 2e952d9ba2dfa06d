// duet-health-check, as an engine runs it beside the process: exit codes and what it says.
#include <gmock/gmock.h>

#include <atomic>
#include <memory>
#include <string>

#include "serving/metrics.h"
#include "serving/metrics_server.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/subprocess.h"

namespace {

using duet_testing::Subprocess;
using testing::AllOf;
using testing::HasSubstr;

struct Answer {
  int code;
  std::string said;
};

Answer Ask(const std::vector<std::string>& arguments) {
  std::vector<std::string> command = {DUET_HEALTH_CHECK};
  command.insert(command.end(), arguments.begin(), arguments.end());
  // A proxy that isn't there: it is not to be asked.
  Subprocess check(command, {{"http_proxy", "http://127.0.0.1:1"}});
  const int code = check.Wait();
  return {code, check.err()};
}

class HealthCheckTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(server_, serving::MetricsServer::Start("127.0.0.1", 0, metrics_,
                                                                [this] { return ready_.load(); }));
  }
  std::string Url(const std::string& path) const {
    return "http://127.0.0.1:" + std::to_string(server_->port()) + path;
  }

  std::atomic<bool> ready_{false};
  serving::Metrics metrics_;
  std::unique_ptr<serving::MetricsServer> server_;
};

TEST_F(HealthCheckTest, ReadyIsZeroWithoutAWord) {
  ready_ = true;
  const Answer answer = Ask({Url("/readyz")});
  EXPECT_EQ(answer.code, 0);
  EXPECT_EQ(answer.said, "");
}

TEST_F(HealthCheckTest, NotReadyIsOneWithWhatTheProcessSays) {
  const Answer answer = Ask({Url("/readyz")});
  EXPECT_EQ(answer.code, 1);
  EXPECT_EQ(answer.said, Url("/readyz") + " answered 503: starting or draining\n");
}

TEST_F(HealthCheckTest, NobodyThereIsOneLine) {
  const std::string url = Url("/readyz");
  server_.reset();
  const Answer answer = Ask({url});
  EXPECT_EQ(answer.code, 1);
  EXPECT_THAT(answer.said, AllOf(HasSubstr(url), HasSubstr("Failed to connect")));
}

TEST_F(HealthCheckTest, NoOtherMachineCanBeAsked) {
  for (const std::string url : {"http://example.com/", "http://127.0.0.1.example.com/",
                                "http://10.0.0.1/", "ftp://localhost/", "file:///etc/passwd",
                                "http://localhost@example.com/", "127.0.0.1:80", ""}) {
    const Answer answer = Ask({url});
    EXPECT_EQ(answer.code, 2);
    EXPECT_EQ(answer.said,
              "duet-health-check: '" + url +
                  "': must be one URL of this machine, as http://127.0.0.1:9101/readyz\n");
  }
  EXPECT_EQ(Ask({}).code, 2);
  EXPECT_EQ(Ask({Url("/livez"), Url("/livez")}).code, 2);
}

}  // namespace
