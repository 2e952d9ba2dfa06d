#include "http_client/address_policy.h"

#include <gmock/gmock.h>

#include <memory>
#include <string>

#include "tests/testing/status_matchers.h"

namespace http_client {
namespace {

namespace ip = boost::asio::ip;
using duet_testing::StatusIs;

TEST(AddressPolicyTest, OnlyGloballyReachableAddressesArePublic) {
  for (const char* text : {"8.8.8.8", "172.32.0.1", "2606:4700::1111", "64:ff9b::808:808"}) {
    EXPECT_TRUE(IsPublicAddress(ip::make_address(text))) << text;
  }
  for (const char* text : {"127.0.0.1",      "10.1.2.3",        "172.16.0.1",  "172.31.255.255",
                           "192.168.1.1",    "169.254.169.254", "100.64.0.1",  "0.0.0.0",
                           "224.0.0.1",      "255.255.255.255", "::",          "::1",
                           "fe80::1",        "fd00::1",         "ff02::1",     "::ffff:10.0.0.1",
                           "64:ff9b::a00:1", "2002:7f00:1::",   "2001:db8::1", "fec0::1",
                           "::127.0.0.1"}) {
    EXPECT_FALSE(IsPublicAddress(ip::make_address(text))) << text;
  }
}

TEST(AddressPolicyTest, HostsPortsAndNetworksAreAllowed) {
  ASSERT_OK_AND_ASSIGN(
      const AddressPolicy policy,
      AddressPolicy::Make({"MinIO:9000", "store", "10.1.0.0/16", "fd00::/8"}, false));
  const ip::address private_address = ip::make_address("192.168.0.7");
  EXPECT_TRUE(policy.Allows("minio", 9000, private_address));
  EXPECT_FALSE(policy.Allows("minio", 9001, private_address));
  EXPECT_TRUE(policy.Allows("Store", 1, private_address));
  EXPECT_TRUE(policy.Allows("x", 80, ip::make_address("10.1.200.3")));
  EXPECT_TRUE(policy.Allows("x", 80, ip::make_address("::ffff:10.1.200.3")));
  EXPECT_FALSE(policy.Allows("x", 80, ip::make_address("10.2.0.1")));
  EXPECT_TRUE(policy.Allows("x", 80, ip::make_address("fd12::1")));
  EXPECT_THAT(AddressPolicy::Make({"a b"}, false), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace http_client
