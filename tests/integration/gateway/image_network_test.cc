// The fetcher in networks as they are: names and file systems that hang, proxies, authorities of
// one's own, servers that compress.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <boost/asio/io_context.hpp>
#include <csignal>
#include <cstdlib>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gateway/http/server.h"
#include "gateway/options.h"
#include "http_client/network.h"
#include "http_client/transfer.h"
#include "image_fetch/image_fetcher.h"
#include "tests/integration/gateway/tiny_http_server.h"
#include "tests/testing/certificates.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace gateway {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using duet_testing::TinyHttpServer;
using duet_testing::TinyRequest;
using duet_testing::TinyResponse;
using image_fetch::ImageFetcher;
using image_fetch::ImageRequest;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using Code = absl::StatusCode;

namespace ip = boost::asio::ip;

const std::string& Jpeg() {
  static const std::string bytes = duet_testing::ReadFile(DUET_TEST_DATA "/images/o1.jpg");
  return bytes;
}

TinyResponse ServeImage(const TinyRequest&) { return TinyResponse{200, {}, Jpeg()}; }

class ImageNetworkTest : public testing::Test {
 protected:
  ImageNetworkTest() { options_.allow_all_private = true; }
  ~ImageNetworkTest() override { Answer(); }

  // The network's names: those of `hosts_`, and "hang...", which the name servers answer only once
  // the test says so. Others don't exist.
  void Start() {
    network_options_.resolver.look_up =
        [hosts = hosts_,
         answered = answered_](const std::string& host) -> absl::StatusOr<http_client::Addresses> {
      if (host.rfind("hang", 0) == 0) answered.wait();
      const auto found = hosts.find(host);
      if (found == hosts.end()) return absl::UnavailableError("there is no host '" + host + "'");
      return found->second;
    };
    auto network = http_client::Network::Make(network_options_);
    ASSERT_TRUE(network.ok()) << network.status();
    options_.network = *std::move(network);
    auto fetcher = ImageFetcher::Create(options_);
    ASSERT_TRUE(fetcher.ok()) << fetcher.status();
    fetcher_ = *std::move(fetcher);
  }
  void Answer() {
    if (!std::exchange(open_, true)) answer_.set_value();
  }

  std::future<ImageFetcher::Result> Ask(ImageRequest request) {
    if (fetcher_ == nullptr) Start();
    auto promise = std::make_shared<std::promise<ImageFetcher::Result>>();
    fetcher_->Fetch(std::move(request), [promise](ImageFetcher::Result result) {
      promise->set_value(std::move(result));
    });
    return promise->get_future();
  }
  std::future<ImageFetcher::Result> Ask(const std::string& uri) { return Ask(ImageRequest{uri}); }
  ImageFetcher::Result Get(const std::string& uri) { return Ask(uri).get(); }

  std::promise<void> answer_;
  const std::shared_future<void> answered_ = answer_.get_future().share();
  bool open_ = false;
  std::map<std::string, http_client::Addresses> hosts_;
  http_client::NetworkOptions network_options_;
  ImageFetcher::Options options_;
  std::unique_ptr<ImageFetcher> fetcher_;
};

const http_client::Addresses kLoopback = {ip::make_address("127.0.0.1")};

TEST_F(ImageNetworkTest, WhileOneNameHangsOthersAreFetched) {
  TinyHttpServer server(ServeImage);
  hosts_["pictures.test"] = kLoopback;
  network_options_.resolver.patience = absl::InfiniteDuration();
  options_.connect_timeout = absl::InfiniteDuration();
  options_.timeout = absl::InfiniteDuration();
  const std::string port = ":" + std::to_string(server.port());
  // More than there are places for transfers.
  std::vector<std::future<ImageFetcher::Result>> hanging;
  for (int i = 0; i < 100; ++i) {
    hanging.push_back(Ask("http://hang.test" + port + "/" + std::to_string(i) + ".jpg"));
  }

  EXPECT_THAT(Get("http://pictures.test" + port + "/a.jpg"), IsOk());
  EXPECT_THAT(Get(server.url() + "/b.jpg"), IsOk());
  EXPECT_EQ(hanging[0].wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  Answer();
  for (auto& result : hanging) {
    EXPECT_THAT(result.get(), StatusIs(Code::kUnavailable, HasSubstr("'hang.test'")));
  }
}

TEST_F(ImageNetworkTest, WhoAsksForANameThatHangsIsToldInTime) {
  options_.connect_timeout = absl::Milliseconds(20);
  EXPECT_THAT(Get("http://hang.test/a.jpg?sig=secret"),
              StatusIs(Code::kDeadlineExceeded,
                       "http://hang.test/a.jpg: the name 'hang.test' was not resolved in time"));
  ImageRequest impatient{"http://hang2.test/a.jpg"};
  impatient.deadline = absl::Now() + absl::Milliseconds(10);
  options_.connect_timeout = absl::InfiniteDuration();
  EXPECT_THAT(Ask(impatient).get(), StatusIs(Code::kDeadlineExceeded, HasSubstr("hang2.test")));
}

TEST_F(ImageNetworkTest, AFetcherThatGoesDoesNotWaitForNames) {
  auto hanging = Ask("http://hang.test/a.jpg");
  fetcher_.reset();
  EXPECT_THAT(hanging.get(), StatusIs(Code::kCancelled));
}

TEST_F(ImageNetworkTest, ThePolicyJudgesTheAddressThatANameStandsFor) {
  TinyHttpServer server(ServeImage);
  hosts_["innocent.test"] = kLoopback;
  options_.allow_all_private = false;
  const std::string port = ":" + std::to_string(server.port());
  EXPECT_THAT(Get("http://innocent.test" + port + "/a.jpg"),
              StatusIs(Code::kPermissionDenied,
                       AllOf(HasSubstr("127.0.0.1"), HasSubstr("=innocent.test"))));
  EXPECT_EQ(server.connections(), 0);

  options_.allowed_private = {"innocent.test"};
  Start();
  EXPECT_THAT(Get("http://innocent.test" + port + "/a.jpg"), IsOk());
}

TEST_F(ImageNetworkTest, TheNextAddressIsTriedIfOneDoesNotAnswer) {
  TinyHttpServer server(ServeImage);
  // The server listens on 127.0.0.1 alone.
  hosts_["several.test"] = {ip::make_address("::1"), ip::make_address("127.0.0.2"),
                            ip::make_address("127.0.0.1")};
  EXPECT_THAT(Get("http://several.test:" + std::to_string(server.port()) + "/a.jpg"), IsOk());
}

TEST_F(ImageNetworkTest, PipesAreNoImages) {
  const duet_testing::TempDir dir;
  options_.local_files_root = dir.path();
  ASSERT_EQ(mkfifo((dir.path() + "/pipe").c_str(), 0600), 0);
  EXPECT_THAT(Get("/data/local-files/?d=pipe"),
              StatusIs(Code::kInvalidArgument, HasSubstr("not a regular file")));
}

// A lease makes whoever opens the file wait for its holder, as a file server that is away does.
TEST_F(ImageNetworkTest, WhileOneFileHangsOthersAreRead) {
  const duet_testing::TempDir dir;
  const std::string hanging_path = dir.Write("hang.jpg", Jpeg());
  dir.Write("a.jpg", Jpeg());
  options_.local_files_root = dir.path();
  std::signal(SIGIO, SIG_IGN);  // how the kernel asks for the lease
  const int lease = open(hanging_path.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(lease, 0);
  if (fcntl(lease, F_SETLEASE, F_WRLCK) != 0) {
    close(lease);
    GTEST_SKIP() << "this file system has no leases";
  }
  TinyHttpServer server(ServeImage);
  ImageRequest request{"/data/local-files/?d=hang.jpg"};
  auto patient = Ask(request);
  request.deadline = absl::Now() + absl::Milliseconds(20);
  auto impatient = Ask(request);

  EXPECT_THAT(Get("/data/local-files/?d=a.jpg"), IsOk());
  EXPECT_THAT(Get(server.url() + "/b.jpg"), IsOk());
  EXPECT_THAT(impatient.get(), StatusIs(Code::kDeadlineExceeded, HasSubstr("local-files")));
  EXPECT_EQ(patient.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  close(lease);
  EXPECT_THAT(patient.get(), IsOk());
}

TEST_F(ImageNetworkTest, WhatPeopleWriteInUrlsArrivesEscaped) {
  std::mutex mutex;
  std::vector<std::string> targets;
  TinyHttpServer server([&](const TinyRequest& request) {
    const std::lock_guard lock(mutex);
    targets.push_back(request.target);
    if (request.target == "/moved") {
      return TinyResponse{302, {"Location: /to a|b[1].jpg?x=\xC3\xA9&y=%20"}, ""};
    }
    return TinyResponse{200, {}, Jpeg()};
  });
  EXPECT_THAT(Get(server.url() + "/häuser/a b|c[1]{2}%41 100%.jpg?x=[\"ü\"]"), IsOk());
  EXPECT_THAT(Get(server.url() + "/moved"), IsOk());
  EXPECT_THAT(targets,
              testing::ElementsAre(
                  "/h%C3%A4user/a%20b%7Cc%5B1%5D%7B2%7D%41%20100%25.jpg?x=%5B%22%C3%BC%22%5D",
                  "/moved", "/to%20a%7Cb%5B1%5D.jpg?x=%c3%a9&y=%20"));
}

std::string Gzip(const std::string& bytes) {
  z_stream stream{};
  deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

TEST_F(ImageNetworkTest, WhatComesCompressedIsDecompressedWithinTheLimit) {
  const std::string bomb = Gzip(Jpeg() + std::string(8 << 20, '\0'));
  ASSERT_LT(bomb.size(), 1u << 20);
  std::atomic<bool> asked_for_it = false;
  TinyHttpServer server([&](const TinyRequest& request) {
    const auto accepted = request.headers.find("accept-encoding");
    if (accepted != request.headers.end() && accepted->second != "identity") asked_for_it = true;
    if (request.target == "/bomb") return TinyResponse{200, {"Content-Encoding: gzip"}, bomb};
    if (request.target == "/damaged") {
      return TinyResponse{200, {"Content-Encoding: gzip"}, "no gzip at all"};
    }
    if (request.target == "/charset") return TinyResponse{200, {"Content-Encoding: utf-8"}, Jpeg()};
    if (request.target == "/aws")
      return TinyResponse{200, {"Content-Encoding: aws-chunked"}, Jpeg()};
    return TinyResponse{200, {"Content-Encoding: gzip"}, Gzip(Jpeg())};
  });
  options_.max_bytes = 1 << 20;

  ASSERT_OK_AND_ASSIGN(const auto image, Get(server.url() + "/a.jpg"));
  EXPECT_EQ(image->bytes, Jpeg());
  EXPECT_FALSE(asked_for_it);
  EXPECT_THAT(Get(server.url() + "/bomb"),
              StatusIs(Code::kInvalidArgument, HasSubstr("limit of 1048576 bytes")));
  EXPECT_THAT(Get(server.url() + "/damaged"),
              StatusIs(Code::kInvalidArgument, HasSubstr("Content-Encoding: gzip")));
  EXPECT_THAT(Get(server.url() + "/charset"), IsOk()) << "no encoding, whatever it says";
  EXPECT_THAT(Get(server.url() + "/aws"), IsOk());
}

TEST_F(ImageNetworkTest, ThroughAProxyNamesAreTheProxysBusinessAndAddressesAreNot) {
  std::mutex mutex;
  std::vector<std::string> targets;
  TinyHttpServer proxy([&](const TinyRequest& request) {
    const std::lock_guard lock(mutex);
    targets.push_back(request.target);
    return TinyResponse{200, {}, Jpeg()};
  });
  TinyHttpServer direct(ServeImage);
  options_.allow_all_private = false;
  options_.allowed_private = {"127.0.0.1"};
  network_options_.proxy = proxy.url();

  EXPECT_THAT(Get("http://pictures.test/a b.jpg"), IsOk()) << "though nobody here knows the name";
  EXPECT_THAT(Get("http://10.1.2.3/a.jpg"),
              StatusIs(Code::kPermissionDenied, HasSubstr("10.1.2.3")));
  EXPECT_THAT(Get(direct.url() + "/c.jpg"), IsOk()) << "this machine is asked directly";
  EXPECT_THAT(targets, testing::ElementsAre("http://pictures.test/a%20b.jpg"));
}

TEST_F(ImageNetworkTest, AProxyThatIsAwayIsNamedWithoutItsPassword) {
  int port = 0;
  { port = TinyHttpServer(ServeImage).port(); }
  network_options_.proxy = "http://user:secret@127.0.0.1:" + std::to_string(port);
  EXPECT_THAT(Get("http://pictures.test/a.jpg"),
              StatusIs(Code::kUnavailable, AllOf(HasSubstr("through the proxy http://127.0.0.1"),
                                                 Not(HasSubstr("secret")))));
}

TEST_F(ImageNetworkTest, AProxyThatRefusesIsNamed) {
  TinyHttpServer proxy([](const TinyRequest& request) {
    if (request.method == "CONNECT" && request.target == "pictures.test:443") {
      return TinyResponse{403, {}, ""};
    }
    return TinyResponse{407, {"Proxy-Authenticate: Basic realm=\"x\""}, ""};
  });
  network_options_.proxy = "http://user:secret@127.0.0.1:" + std::to_string(proxy.port());
  const std::string shown = "the proxy http://127.0.0.1:" + std::to_string(proxy.port());
  EXPECT_THAT(Get("https://pictures.test/a.jpg"),
              StatusIs(Code::kUnavailable, AllOf(HasSubstr(shown), HasSubstr("refuses: 403"))));
  EXPECT_THAT(Get("http://pictures.test/a.jpg"),
              StatusIs(Code::kUnavailable,
                       AllOf(HasSubstr(shown), HasSubstr("407"), Not(HasSubstr("secret")))));
}

TEST_F(ImageNetworkTest, AVariableAloneMakesNoProxy) {
  TinyHttpServer server(ServeImage);
  hosts_["pictures.test"] = kLoopback;
  setenv("http_proxy", "http://127.0.0.1:9", /*overwrite=*/1);
  EXPECT_THAT(Get("http://pictures.test:" + std::to_string(server.port()) + "/a.jpg"), IsOk());
  unsetenv("http_proxy");
}

// An HTTPS server with an image, and a certificate that nobody knows.
class HttpsServer {
 public:
  explicit HttpsServer(const duet_testing::Identity& identity) {
    Options options;
    options.tls_certificate = dir_.Write("certificate.pem", identity.certificate);
    options.tls_key = dir_.Write("key.pem", identity.key);
    router_.AddQuick(boost::beast::http::verb::get, "/a.jpg",
                     [](const http::Request&, http::Context&) {
                       return http::Response{.body = Jpeg(), .content_type = "image/jpeg"};
                     });
    http::ServerOptions http;
    http.tls = *LoadTls(options);
    server_ = *http::Server::Start(io_, router_, http);
    thread_ = std::thread([this] { io_.run(); });
  }
  ~HttpsServer() {
    server_->Drain(std::chrono::seconds(5));
    io_.stop();
    thread_.join();
  }
  std::string url() const { return "https://127.0.0.1:" + std::to_string(server_->port()); }

 private:
  const duet_testing::TempDir dir_;
  http::Router router_;
  boost::asio::io_context io_;
  std::unique_ptr<http::Server> server_;
  std::thread thread_;
};

TEST_F(ImageNetworkTest, AnAuthorityOfOnesOwnIsTrustedOnceItIsGiven) {
  const duet_testing::Authority authority;
  const duet_testing::TempDir dir;
  const std::string file = dir.Write("ca.pem", authority.certificate());
  HttpsServer server(authority.Issue());
  EXPECT_THAT(Get(server.url() + "/a.jpg"),
              StatusIs(Code::kUnavailable, HasSubstr("--ca_certificates")));

  network_options_.ca_certificates = file;
  Start();
  EXPECT_THAT(Get(server.url() + "/a.jpg"), IsOk());

  network_options_.ca_certificates = "";
  setenv("SSL_CERT_FILE", file.c_str(), /*overwrite=*/1);
  Start();
  EXPECT_THAT(Get(server.url() + "/a.jpg"), IsOk());
  network_options_.ca_certificates =
      dir.Write("other.pem", duet_testing::Authority().certificate());
  Start();
  EXPECT_THAT(Get(server.url() + "/a.jpg"), IsOk()) << "both are trusted";
  unsetenv("SSL_CERT_FILE");
  Start();
  EXPECT_THAT(Get(server.url() + "/a.jpg"), StatusIs(Code::kUnavailable));
}

TEST(NetworkTest, BadFilesAreNamed) {
  const duet_testing::TempDir dir;
  const std::string text = dir.Write("ca.txt", "no certificate");
  EXPECT_THAT(http_client::Network::Make({.ca_certificates = text}).status(),
              StatusIs(Code::kInvalidArgument, HasSubstr("--ca_certificates=" + text)));
  EXPECT_THAT(http_client::Network::Make({.ca_certificates = dir.path() + "/none"}).status(),
              StatusIs(Code::kInvalidArgument, HasSubstr("--ca_certificates=")));
  setenv("SSL_CERT_FILE", text.c_str(), /*overwrite=*/1);
  EXPECT_THAT(http_client::Network::Make({}).status(),
              StatusIs(Code::kInvalidArgument, HasSubstr("SSL_CERT_FILE=" + text)));
  unsetenv("SSL_CERT_FILE");
  setenv("SSL_CERT_DIR", text.c_str(), /*overwrite=*/1);
  EXPECT_THAT(http_client::Network::Make({}).status(),
              StatusIs(Code::kInvalidArgument, HasSubstr("is not a directory")));
  unsetenv("SSL_CERT_DIR");
  EXPECT_THAT(http_client::Network::Make({.proxy = "ftp://proxy"}).status(),
              StatusIs(Code::kInvalidArgument, HasSubstr("--image_proxy")));
}

}  // namespace
}  // namespace gateway
