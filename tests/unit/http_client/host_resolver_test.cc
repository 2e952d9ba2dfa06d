#include "http_client/host_resolver.h"

#include <absl/status/status.h>
#include <gmock/gmock.h>

#include <atomic>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "tests/testing/status_matchers.h"

namespace http_client {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::AllOf;
using testing::HasSubstr;
using Code = absl::StatusCode;

namespace ip = boost::asio::ip;

// Name servers that answer for "hang..." when the test says so, and for others at once.
class NameServers {
 public:
  ~NameServers() { Answer(); }

  HostResolver::Options Options() {
    HostResolver::Options options;
    options.look_up = [state = state_](const std::string& host) -> absl::StatusOr<Addresses> {
      {
        const std::lock_guard lock(state->mutex);
        ++state->asked[host];
      }
      if (host.rfind("hang", 0) == 0) state->answered.wait();
      if (host == "nobody") return absl::UnavailableError("there is no host 'nobody'");
      return Addresses{ip::make_address("192.0.2.1")};
    };
    options.clock = [state = state_] { return absl::FromUnixSeconds(state->now_s); };
    return options;
  }
  void Answer() {
    if (!std::exchange(state_->open, true)) state_->answer.set_value();
  }
  int asked(const std::string& host) {
    const std::lock_guard lock(state_->mutex);
    return state_->asked[host];
  }
  void Pass(int seconds) { state_->now_s += seconds; }

 private:
  struct State {  // shared with look-ups that outlive the test
    std::mutex mutex;
    std::map<std::string, int> asked;
    std::promise<void> answer;
    std::shared_future<void> answered = answer.get_future().share();
    std::atomic<std::int64_t> now_s = 1'700'000'000;
    bool open = false;
  };
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

std::future<absl::StatusOr<Addresses>> Ask(HostResolver& resolver, const std::string& host,
                                           bool important = false) {
  auto promise = std::make_shared<std::promise<absl::StatusOr<Addresses>>>();
  resolver.Resolve(host, important, [promise](absl::StatusOr<Addresses> result) {
    promise->set_value(std::move(result));
  });
  return promise->get_future();
}

TEST(HostResolverTest, ANameThatHangsHoldsUpNoOther) {
  NameServers servers;
  HostResolver resolver(servers.Options());
  auto hanging = Ask(resolver, "hang.test");

  EXPECT_THAT(Ask(resolver, "quick.test").get(), IsOk());
  EXPECT_THAT(Ask(resolver, "nobody").get(), StatusIs(Code::kUnavailable, HasSubstr("'nobody'")));
  servers.Answer();
  EXPECT_THAT(hanging.get(), IsOk());
}

TEST(HostResolverTest, AllWhoAskForANameShareOneLookUp) {
  NameServers servers;
  HostResolver resolver(servers.Options());
  auto first = Ask(resolver, "hang.test");
  auto second = Ask(resolver, "hang.test");
  servers.Answer();
  EXPECT_THAT(first.get(), IsOk());
  EXPECT_THAT(second.get(), IsOk());
  EXPECT_THAT(Ask(resolver, "hang.test").get(), IsOk());
  EXPECT_EQ(servers.asked("hang.test"), 1) << "the third from memory";

  servers.Pass(30);
  EXPECT_THAT(Ask(resolver, "hang.test").get(), IsOk());
  EXPECT_EQ(servers.asked("hang.test"), 2);
}

TEST(HostResolverTest, AFailureIsRememberedForShort) {
  NameServers servers;
  HostResolver resolver(servers.Options());
  EXPECT_FALSE(Ask(resolver, "nobody").get().ok());
  EXPECT_FALSE(Ask(resolver, "nobody").get().ok());
  EXPECT_EQ(servers.asked("nobody"), 1);
  servers.Pass(5);
  EXPECT_FALSE(Ask(resolver, "nobody").get().ok());
  EXPECT_EQ(servers.asked("nobody"), 2);
}

TEST(HostResolverTest, WhoAsksForANameThatHangsForLongIsRefusedAtOnce) {
  NameServers servers;
  HostResolver resolver(servers.Options());
  auto first = Ask(resolver, "hang.test");
  servers.Pass(5);
  EXPECT_THAT(
      Ask(resolver, "hang.test").get(),
      StatusIs(Code::kDeadlineExceeded, "the name 'hang.test' has not been resolved for 5 s"));
}

TEST(HostResolverTest, LookUpsThatHangAreBoundedAndTheOperatorsNamesGoOn) {
  NameServers servers;
  HostResolver::Options options = servers.Options();
  options.max_look_ups = 2;
  HostResolver resolver(options);
  auto first = Ask(resolver, "hang1.test");
  auto second = Ask(resolver, "hang2.test");

  EXPECT_THAT(Ask(resolver, "hang3.test").get(),
              StatusIs(Code::kUnavailable,
                       AllOf(HasSubstr("'hang3.test'"), HasSubstr("2 other look-ups"))));
  EXPECT_THAT(Ask(resolver, "studio.test", /*important=*/true).get(), IsOk());
}

TEST(HostResolverTest, AResolverThatGoesDoesNotWait) {
  NameServers servers;
  std::future<absl::StatusOr<Addresses>> hanging;
  {
    HostResolver resolver(servers.Options());
    hanging = Ask(resolver, "hang.test");
  }
  servers.Answer();
  EXPECT_THAT(hanging.get(), IsOk());
}

TEST(HostResolverTest, TheSystemKnowsThisMachine) {
  ASSERT_OK_AND_ASSIGN(const Addresses addresses, SystemLookUp("localhost"));
  for (const ip::address& address : addresses) EXPECT_TRUE(address.is_loopback()) << address;
}

}  // namespace
}  // namespace http_client
