#include "serving/tls_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "serving/host_port.h"
#include "tests/testing/certificates.h"
#include "tests/testing/log_capture.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace serving {
namespace {

using duet_testing::Authority;
using duet_testing::Identity;
using duet_testing::LogCapture;
using duet_testing::StatusIs;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class TlsFilesTest : public testing::Test {
 protected:
  TlsFilesTest() { Write(own_); }

  void Write(const Identity& identity) {
    directory_.Write("tls.crt", identity.certificate);
    directory_.Write("tls.key", identity.key);
    directory_.Write("ca.crt", authority_.certificate());
  }
  TlsPaths Paths() const {
    return {.certificate = {"--tls_certificate", directory_.path() + "/tls.crt"},
            .key = {"--tls_key", directory_.path() + "/tls.key"},
            .authorities = {"--tls_client_ca", directory_.path() + "/ca.crt"}};
  }

  const duet_testing::TempDir directory_;
  const Authority authority_;
  const Identity own_ = authority_.Issue();
  const LogCapture log_;
};

TEST_F(TlsFilesTest, HoldsTheFilesAndTheSameObjectUntilTheyChange) {
  const auto files = TlsFiles::Open(Paths());
  ASSERT_TRUE(files.ok()) << files.status();
  const auto first = (*files)->Current();

  EXPECT_EQ(first->certificate, own_.certificate);
  EXPECT_EQ(first->key, own_.key);
  EXPECT_EQ(first->authorities, authority_.certificate());
  EXPECT_EQ((*files)->Current(), first);

  const Identity renewed = authority_.Issue();
  Write(renewed);
  EXPECT_EQ((*files)->Current()->certificate, renewed.certificate);
  EXPECT_EQ(first->certificate, own_.certificate) << "who holds it may go on";
}

// Kubernetes: tls.crt -> ..data/tls.crt, ..data -> a folder, replaced by rename.
TEST_F(TlsFilesTest, ASwappedSymbolicLinkIsAChange) {
  namespace fs = std::filesystem;
  const duet_testing::TempDir mount;
  const fs::path root = mount.path();
  const Identity renewed = authority_.Issue();
  for (const auto& [folder, identity] : {std::pair{"v1", own_}, std::pair{"v2", renewed}}) {
    mount.Write(std::string(folder) + "/tls.crt", identity.certificate);
    mount.Write(std::string(folder) + "/tls.key", identity.key);
  }
  fs::create_symlink("v1", root / "..data");
  fs::create_symlink("..data/tls.crt", root / "tls.crt");
  fs::create_symlink("..data/tls.key", root / "tls.key");
  const auto files = TlsFiles::Open({.certificate = {"--tls_certificate", root / "tls.crt"},
                                     .key = {"--tls_key", root / "tls.key"},
                                     .authorities = {}});
  ASSERT_TRUE(files.ok()) << files.status();

  fs::create_symlink("v2", root / "..new");
  fs::rename(root / "..new", root / "..data");

  EXPECT_EQ((*files)->Current()->key, renewed.key);
}

TEST_F(TlsFilesTest, FilesThatDoNotFitLeaveTheLastGoodOnesAndOneWarning) {
  const auto files = TlsFiles::Open(Paths());
  ASSERT_TRUE(files.ok()) << files.status();
  const auto good = (*files)->Current();
  const Identity renewed = authority_.Issue();

  directory_.Write("tls.crt", renewed.certificate);  // its key comes later
  EXPECT_EQ((*files)->Current(), good);
  EXPECT_EQ((*files)->Current(), good);
  EXPECT_THAT(log_.lines("tls.kept"), ElementsAre(HasSubstr("tls.key: is not the key of")));

  directory_.Write("tls.key", renewed.key.substr(0, 40));
  EXPECT_EQ((*files)->Current(), good);
  std::filesystem::remove(directory_.path() + "/ca.crt");
  EXPECT_EQ((*files)->Current(), good);
  EXPECT_THAT(log_.lines("tls.kept").back(), HasSubstr("No such file"));

  Write(renewed);
  EXPECT_EQ((*files)->Current()->key, renewed.key);
}

TEST_F(TlsFilesTest, WhatCannotBeUsedIsNamedInOneLine) {
  const auto expect = [this](TlsPaths paths, const std::string& flag, const std::string& why) {
    EXPECT_THAT(TlsFiles::Open(std::move(paths)), StatusIs(absl::StatusCode::kInvalidArgument,
                                                           AllOf(HasSubstr(flag), HasSubstr(why))));
  };
  const auto with = [this](TlsFile TlsPaths::*which, const std::string& text) {
    TlsPaths paths = Paths();
    (paths.*which).path = directory_.Write("other.pem", text);
    return paths;
  };
  expect(with(&TlsPaths::key, Authority().Issue().key), "--tls_key", "not the key");
  expect(with(&TlsPaths::key, own_.certificate), "--tls_key", "no private key");
  expect(with(&TlsPaths::key, "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"), "--tls_key", "encrypted");
  expect(with(&TlsPaths::certificate, own_.key), "--tls_certificate", "no certificate");
  expect(with(&TlsPaths::certificate, ""), "--tls_certificate", "no certificate");
  expect(with(&TlsPaths::authorities, "text"), "--tls_client_ca", "no certificate");
  std::string damaged = authority_.certificate();
  damaged[damaged.size() / 2] = '!';
  expect(with(&TlsPaths::authorities, own_.certificate + damaged), "--tls_client_ca", "damaged");

  TlsPaths paths = Paths();
  paths.key.path = "";
  expect(paths, "--tls_key", "go together");
  paths.key.path = directory_.path() + "/none";
  expect(paths, "--tls_key", "No such file");
  paths.key.path = directory_.path();
  expect(paths, "--tls_key", "directory");
}

TEST_F(TlsFilesTest, AnExpiredCertificateIsAWarning) {
  Write(authority_.Issue("IP:127.0.0.1", /*valid_s=*/-1));

  EXPECT_TRUE(TlsFiles::Open(Paths()).ok());

  EXPECT_THAT(log_.lines("tls.loaded"),
              ElementsAre(AllOf(HasSubstr(R"("level":"warning")"), HasSubstr("expired"))));
}

TEST(LoopbackTest, IsWhatOnlyThisMachineReaches) {
  for (const char* host : {"127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"}) {
    EXPECT_TRUE(IsLoopback(host)) << host;
  }
  for (const char* host : {"0.0.0.0", "::", "192.168.0.1", "10.0.0.1", "fe80::1"}) {
    EXPECT_FALSE(IsLoopback(host)) << host;
  }
}

TEST(LoopbackTest, PlaintextBeyondItIsWarnedAbout) {
  const LogCapture log;
  WarnIfOpenPlaintext("127.0.0.1", /*tls=*/false, "--tls_certificate");
  WarnIfOpenPlaintext("0.0.0.0", /*tls=*/true, "--tls_certificate");
  EXPECT_THAT(log.lines("listening.plaintext"), IsEmpty());

  WarnIfOpenPlaintext("0.0.0.0", /*tls=*/false, "--tls_certificate");
  EXPECT_THAT(log.lines("listening.plaintext"),
              ElementsAre(AllOf(HasSubstr("0.0.0.0"), HasSubstr("--tls_certificate"))));
}

}  // namespace
}  // namespace serving
