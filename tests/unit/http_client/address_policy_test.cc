#include "http_client/address_policy.h"

#include <gmock/gmock.h>

#include <memory>
#include <string>
#include <vector>

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

TEST(AddressPolicyTest, SpecialNetworksHaveTheSizesThatIanaGaveThem) {
  // Of each in IANA's special-purpose registries: its first and last address, and those beside it
  // that are public.
  const struct {
    const char* first;
    const char* last;
    std::vector<const char*> outside;
  } kNetworks[] = {
      {"0.0.0.0", "0.255.255.255", {"1.0.0.0"}},
      {"10.0.0.0", "10.255.255.255", {"9.255.255.255", "11.0.0.0"}},
      {"100.64.0.0", "100.127.255.255", {"100.63.255.255", "100.128.0.0"}},
      {"127.0.0.0", "127.255.255.255", {"126.255.255.255", "128.0.0.0"}},
      {"169.254.0.0", "169.254.255.255", {"169.253.255.255", "169.255.0.0"}},
      {"172.16.0.0", "172.31.255.255", {"172.15.255.255", "172.32.0.0"}},
      {"192.0.0.0", "192.0.0.255", {"191.255.255.255", "192.0.1.0"}},
      {"192.0.2.0", "192.0.2.255", {"192.0.1.255", "192.0.3.0"}},
      {"192.88.99.0", "192.88.99.255", {"192.88.98.255", "192.88.100.0"}},
      {"192.168.0.0", "192.168.255.255", {"192.167.255.255", "192.169.0.0"}},
      {"198.18.0.0", "198.19.255.255", {"198.17.255.255", "198.20.0.0"}},
      {"198.51.100.0", "198.51.100.255", {"198.51.99.255", "198.51.101.0"}},
      {"203.0.113.0", "203.0.113.255", {"203.0.112.255", "203.0.114.0"}},
      {"224.0.0.0", "255.255.255.255", {"223.255.255.255"}},
      {"2001::", "2001:1ff:ffff::", {"2001:200::"}},
      {"2001:db8::", "2001:db8:ffff::", {"2001:db7:ffff::", "2001:db9::"}},
      {"3fff::", "3fff:fff:ffff::", {"3ffe:ffff::", "3fff:1000::"}},
      {"64:ff9b::a00:0", "64:ff9b::aff:ffff", {"64:ff9b::9ff:ffff", "64:ff9b::b00:0"}},
  };
  for (const auto& network : kNetworks) {
    EXPECT_FALSE(IsPublicAddress(ip::make_address(network.first))) << network.first;
    EXPECT_FALSE(IsPublicAddress(ip::make_address(network.last))) << network.last;
    for (const char* address : network.outside) {
      EXPECT_TRUE(IsPublicAddress(ip::make_address(address))) << address;
    }
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
