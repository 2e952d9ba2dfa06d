// A whole process, from outside: exit codes, what it prints, signals, drain. The probe is
// probe_service.cc.
#include <absl/strings/str_split.h>
#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <signal.h>
#include <stdlib.h>

#include <future>
#include <string>
#include <vector>

#include "duet/detector/v1/detector.grpc.pb.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/subprocess.h"
#include "tests/testing/temp_dir.h"

namespace {

using duet::detector::v1::Detector;
using duet::detector::v1::DetectRequest;
using duet::detector::v1::DetectResponse;
using duet_testing::IntField;
using duet_testing::IsOk;
using duet_testing::Subprocess;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

std::vector<std::string> Command(std::vector<std::string> flags) {
  flags.insert(flags.begin(), DUET_PROBE_SERVICE);
  return flags;
}

int CountLines(const std::string& text) {
  return static_cast<int>(std::count(text.begin(), text.end(), '\n'));
}

// A call in flight that takes `seconds`, begun when this returns.
class Call {
 public:
  Call(Subprocess& process, int port, float seconds)
      : stub_(Detector::NewStub(grpc::CreateChannel("127.0.0.1:" + std::to_string(port),
                                                    grpc::InsecureChannelCredentials()))) {
    done_ = std::async(std::launch::async, [this, seconds] {
      DetectRequest request;
      request.set_score_threshold(seconds);
      DetectResponse response;
      return stub_->Detect(&context_, request, &response);
    });
    EXPECT_THAT(process.WaitForLine("probe.entered"), IsOk());
  }
  grpc::Status Wait() { return done_.get(); }

 private:
  std::unique_ptr<Detector::Stub> stub_;
  grpc::ClientContext context_;
  std::future<grpc::Status> done_;
};

TEST(ProcessEndToEndTest, HelpGoesToStdoutAndNamesOnlyOurFlags) {
  Subprocess probe(Command({"--help"}));
  EXPECT_EQ(probe.Wait(), 0);
  EXPECT_EQ(probe.err(), "");
  EXPECT_THAT(probe.out(), AllOf(HasSubstr("--port=VALUE  (default: 0; env: DUET_PORT)"),
                                 testing::Not(HasSubstr("stderrthreshold"))));
}

TEST(ProcessEndToEndTest, ABadFlagIsOneLineAndExitCode2) {
  Subprocess probe(Command({"--port=x"}));
  EXPECT_EQ(probe.Wait(), 2);
  EXPECT_EQ(probe.err(), "probe: --port=x: must be a whole number\n");
  EXPECT_EQ(probe.out(), "");
}

TEST(ProcessEndToEndTest, AStartUpFailureIsOneLineAndExitCode1) {
  for (const std::string why : {"model.pth: not a checkpoint", "throw"}) {
    Subprocess probe(Command({"--fail=" + why}));
    EXPECT_EQ(probe.Wait(), 1);
    EXPECT_EQ(CountLines(probe.err()), 1) << probe.err();
    EXPECT_THAT(probe.err(), AllOf(HasSubstr("\"event\":\"startup.failed\""),
                                   HasSubstr(why == "throw" ? "thrown" : why)));
  }
}

TEST(ProcessEndToEndTest, ATakenPortIsOneLineAndExitCode1) {
  Subprocess first(Command({}));
  ASSERT_OK_AND_ASSIGN(const std::string line, first.WaitForLine("\"event\":\"serving\""));
  const std::string port = std::to_string(IntField(line, "port"));

  Subprocess second(Command({"--port=" + port}));

  EXPECT_EQ(second.Wait(), 1);
  EXPECT_EQ(CountLines(second.err()), 1) << second.err();
  EXPECT_THAT(second.err(), HasSubstr("cannot listen on 127.0.0.1:" + port +
                                      ": Address already in use (--port)"));
}

TEST(ProcessEndToEndTest, TheEnvironmentIsReadWhereAFlagIsMissing) {
  Subprocess probe(Command({}), {{"DUET_FAIL", "from the environment"}});
  EXPECT_EQ(probe.Wait(), 1);
  EXPECT_THAT(probe.err(), HasSubstr("from the environment"));
}

TEST(ProcessEndToEndTest, AFormerNameOfAFlagIsAWarning) {
  Subprocess probe(Command({"--die=now"}));
  EXPECT_EQ(probe.Wait(), 1);
  EXPECT_EQ(CountLines(probe.err()), 2) << probe.err();
  EXPECT_THAT(probe.err(), AllOf(HasSubstr("\"level\":\"warning\",\"event\":\"flag.renamed\""),
                                 HasSubstr("--die is now --fail"), HasSubstr("\"now\"")));
}

class StopSignalTest : public testing::TestWithParam<int> {};

TEST_P(StopSignalTest, DrainsAndExitsWithZero) {
  Subprocess probe(Command({}));
  ASSERT_OK_AND_ASSIGN(const std::string line, probe.WaitForLine("\"event\":\"serving\""));
  EXPECT_GT(IntField(line, "metrics_port"), 0);
  Call call(probe, IntField(line, "port"), /*seconds=*/0.2);

  probe.Signal(GetParam());

  EXPECT_TRUE(call.Wait().ok());
  EXPECT_EQ(probe.Wait(), 0);
  for (const std::string& written :
       std::vector<std::string>(absl::StrSplit(probe.err(), '\n', absl::SkipEmpty()))) {
    EXPECT_THAT(written, StartsWith("{\"ts\":"));
  }
  EXPECT_THAT(probe.err(), AllOf(HasSubstr("\"event\":\"draining\""), HasSubstr("\"rpc.done\""),
                                 HasSubstr("\"event\":\"stopped\"")));
}

INSTANTIATE_TEST_SUITE_P(Signals, StopSignalTest, testing::Values(SIGTERM, SIGINT));

TEST(ProcessEndToEndTest, TheDrainHasAnEnd) {
  Subprocess probe(Command({"--drain_timeout_s=0"}));
  ASSERT_OK_AND_ASSIGN(const std::string line, probe.WaitForLine("\"event\":\"serving\""));
  Call call(probe, IntField(line, "port"), /*seconds=*/3600);

  probe.Signal(SIGTERM);

  EXPECT_FALSE(call.Wait().ok());
  EXPECT_EQ(probe.Wait(), 0);
}

TEST(ProcessEndToEndTest, ASecondSignalCutsGraceAndDrainShort) {
  Subprocess probe(Command({"--drain_grace_ms=600000", "--drain_timeout_s=3600"}));
  ASSERT_OK_AND_ASSIGN(const std::string line, probe.WaitForLine("\"event\":\"serving\""));
  Call call(probe, IntField(line, "port"), /*seconds=*/3600);
  probe.Signal(SIGTERM);
  ASSERT_THAT(probe.WaitForLine("\"event\":\"draining\""), IsOk());

  probe.Signal(SIGTERM);

  EXPECT_FALSE(call.Wait().ok());
  EXPECT_EQ(probe.Wait(), 0);
}

// libgomp reads its environment before main: it must have been there when the program was executed.
TEST(ProcessEndToEndTest, OpenMpThreadsWaitPassively) {
  unsetenv("OMP_WAIT_POLICY");  // ctest gives it to every test
  unsetenv("GOMP_SPINCOUNT");
  const auto value_at_exec = [](const std::string& name,
                                const std::map<std::string, std::string>& environment) {
    Subprocess probe(Command({}), environment);
    EXPECT_THAT(probe.WaitForLine("\"event\":\"serving\""), IsOk());
    const std::string variables =
        duet_testing::ReadFile("/proc/" + std::to_string(probe.pid()) + "/environ");
    for (const std::string& variable : std::vector<std::string>(absl::StrSplit(variables, '\0'))) {
      if (variable.rfind(name + "=", 0) == 0) return variable.substr(name.size() + 1);
    }
    return std::string("unset");
  };
  EXPECT_EQ(value_at_exec("OMP_WAIT_POLICY", {}), "passive");
  EXPECT_EQ(value_at_exec("GOMP_SPINCOUNT", {}), "5000");
  EXPECT_EQ(value_at_exec("GOMP_SPINCOUNT", {{"GOMP_SPINCOUNT", "1"}}), "1");
  EXPECT_EQ(value_at_exec("OMP_WAIT_POLICY", {{"OMP_WAIT_POLICY", "active"}}), "active");
  EXPECT_EQ(value_at_exec("GOMP_SPINCOUNT", {{"OMP_WAIT_POLICY", "active"}}), "unset");
}

}  // namespace
