// The gateway's clients and the services' server by TLS, over real sockets.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "backends/grpc_clients.h"
#include "backends/replica_set.h"
#include "duet/detector/v1/detector.grpc.pb.h"
#include "serving/grpc_server.h"
#include "tests/integration/gateway/tiny_http_server.h"
#include "tests/testing/certificates.h"
#include "tests/testing/log_capture.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace backends {
namespace {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;
using duet::detector::v1::Detector;
using duet::detector::v1::DetectRequest;
using duet::detector::v1::DetectResponse;
using duet::detector::v1::GetModelRequest;
using duet::detector::v1::GetModelResponse;
using duet_testing::Authority;
using duet_testing::Identity;
using duet_testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr auto kPatience = std::chrono::seconds(20);

class FakeDetector final : public Detector::Service {
  grpc::Status GetModel(grpc::ServerContext*, const GetModelRequest*,
                        GetModelResponse* response) override {
    response->mutable_model()->set_name("rtmdet-t");
    response->mutable_model()->set_version("d1");
    return grpc::Status::OK;
  }
  grpc::Status Detect(grpc::ServerContext*, const DetectRequest*, DetectResponse*) override {
    return grpc::Status::OK;
  }
};

// Which TLS files one side has; those that are empty or null get no flag.
struct Side {
  Identity own;
  const Authority* trusts = nullptr;
};

// A client with the threads that it lives on.
class Gateway {
 public:
  Gateway(const std::string& target, const GrpcOptions& options)
      : client_(*MakeGrpcDetector(io_.get_executor(), target, options)),
        thread_([this] { io_.run(); }) {}
  ~Gateway() {
    io_.stop();
    thread_.join();
  }

  DetectorClient& client() { return *client_; }
  asio::io_context& io() { return io_; }

 private:
  asio::io_context io_;
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
  std::unique_ptr<DetectorClient> client_;
  std::thread thread_;
};

class BackendTlsTest : public ::testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& text) {
    return text.empty() ? "" : directory_.Write(name, text);
  }

  // `files`: the beginning of their names.
  void Serve(const Side& side, const std::string& files = "server") {
    serving::GrpcServerOptions options;
    options.tls_certificate = Write(files + ".crt", side.own.certificate);
    options.tls_key = Write(files + ".key", side.own.key);
    if (side.trusts != nullptr) {
      options.tls_client_ca = Write(files + "-ca.crt", side.trusts->certificate());
    }
    auto started = serving::GrpcServer::Start(options, {&detector_}, &metrics_);
    ASSERT_TRUE(started.ok()) << started.status();
    server_ = *std::move(started);
  }

  GrpcOptions ClientOptions(const Side& side, const std::string& server_name = "") {
    GrpcOptions options{.tls_server_name = server_name};
    if (side.trusts == nullptr) return options;
    options.tls = *serving::TlsFiles::Open(
        {.certificate = {"--backend_certificate", Write("client.crt", side.own.certificate)},
         .key = {"--backend_key", Write("client.key", side.own.key)},
         .authorities = {"--backend_ca", Write("client-ca.crt", side.trusts->certificate())}});
    return options;
  }

  std::string Target(const std::string& host = "127.0.0.1") const {
    return host + ":" + std::to_string(server_->port());
  }

  void Connect(const GrpcOptions& options, const std::string& host = "127.0.0.1") {
    gateway_ = std::make_unique<Gateway>(Target(host), options);
  }

  static void Resolve(ReplicaSet& replicas) {
    asio::io_context io;
    asio::co_spawn(io, replicas.Resolve(), asio::detached);
    io.run();
  }

  absl::Status Detect() {
    const ImageRef image{.id = "0", .bytes = std::make_shared<const std::string>("image")};
    auto call =
        gateway_->client().Detect(image, {}, {std::chrono::system_clock::now() + kPatience});
    return asio::co_spawn(gateway_->io(), std::move(call), asio::use_future).get().status();
  }

  // What the client says of the service once it has asked and found something with `part`.
  std::string HealthWith(const std::string& part) {
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (std::chrono::steady_clock::now() < end) {
      const BackendHealth health = gateway_->client().health();
      if (health.error.find(part) != std::string::npos && (!part.empty() || health.reachable)) {
        return health.error;
      }
      std::this_thread::yield();
    }
    return gateway_->client().health().error;
  }

  const duet_testing::LogCapture log_;
  const duet_testing::TempDir directory_;
  const Authority authority_;
  const Authority stranger_{"another authority of tests"};
  serving::Metrics metrics_;
  FakeDetector detector_;
  std::unique_ptr<serving::GrpcServer> server_;
  std::unique_ptr<Gateway> gateway_;
};

TEST_F(BackendTlsTest, BothSidesKnowEachOther) {
  Serve({authority_.Issue(), &authority_});
  Connect(ClientOptions({authority_.Issue("DNS:gateway"), &authority_}));

  EXPECT_THAT(Detect(), StatusIs(absl::StatusCode::kOk));
}

// Replicas are addresses of a name; certificates hold the name.
TEST_F(BackendTlsTest, TheNameThatWasConfiguredIsTheOneToVerify) {
  Serve({authority_.Issue("DNS:localhost"), nullptr});
  Connect(ClientOptions({{}, &authority_}), "localhost");
  EXPECT_THAT(Detect(), StatusIs(absl::StatusCode::kOk));

  Connect(ClientOptions({{}, &authority_}, "localhost"), "127.0.0.1");
  EXPECT_THAT(Detect(), StatusIs(absl::StatusCode::kOk));

  Connect(ClientOptions({{}, &authority_}, "detector"), "localhost");
  EXPECT_THAT(HealthWith("certificate"), HasSubstr("its certificate is not for 'detector'"));
}

TEST_F(BackendTlsTest, WhatKeepsThemApartIsSaidInOneSentence) {
  const Identity none;
  const Identity good = authority_.Issue();
  const Identity expired = authority_.Issue("IP:127.0.0.1", /*valid_s=*/-1);
  const Identity unknown = stranger_.Issue();
  const auto expect = [this](const char* fault, const Side& server, const Side& client,
                             const char* sentence) {
    SCOPED_TRACE(fault);
    gateway_.reset();
    server_.reset();
    Serve(server);
    Connect(ClientOptions(client));

    const std::string said = HealthWith(sentence);
    EXPECT_THAT(said, AllOf(HasSubstr("the detector at " + Target() + " is away: it"),
                            HasSubstr(sentence)));
    // A call that somebody waits for says the same.
    EXPECT_THAT(Detect(), StatusIs(absl::StatusCode::kUnavailable, said));
    EXPECT_THAT(log_.lines("backend.away").back(), HasSubstr(sentence));
  };
  const Authority* const us = &authority_;
  const Authority* const nobody = nullptr;

  expect("a plaintext gateway", {good, nobody}, {none, nobody},
         "it serves TLS, and is called in plaintext");
  expect("a plaintext gateway, mutual", {good, us}, {none, nobody}, "set --backend_ca");
  expect("a plaintext service", {none, nobody}, {none, us}, "does not answer by TLS");
  expect("another CA", {good, nobody}, {none, &stranger_},
         "unable to get local issuer certificate");
  expect("an expired service", {expired, nobody}, {none, us}, "certificate has expired");
  expect("no certificate", {good, us}, {none, us}, "set --backend_certificate");
  expect("a stranger", {good, us}, {unknown, us}, "service's --tls_client_ca?");
  expect("an expired gateway", {good, us}, {expired, us},
         "--backend_certificate: that has expired");
}

// Half of the replicas lost would else be seen in nothing but the load of the others.
TEST_F(BackendTlsTest, OneReplicaOfSeveralThatCannotBeReachedIsSaidToo) {
  Serve({stranger_.Issue(), nullptr}, "strange");
  const std::string bad = Target();
  const auto bad_server = std::move(server_);
  Serve({authority_.Issue(), nullptr});
  gateway_ = std::make_unique<Gateway>(Target() + "," + bad, ClientOptions({{}, &authority_}));

  const std::string said = HealthWith("unable to get local issuer certificate");
  EXPECT_THAT(said, HasSubstr("the detector at " + bad + " is away: its certificate"));
  EXPECT_TRUE(gateway_->client().health().reachable);
  EXPECT_THAT(log_.lines("backend.away").back(), HasSubstr(bad));
  EXPECT_THAT(Detect(), StatusIs(absl::StatusCode::kOk));
}

TEST_F(BackendTlsTest, AServiceThatIsOnlyAwayIsNotSaidToLackTls) {
  Serve({authority_.Issue(), nullptr});
  const std::string target = Target();
  server_.reset();
  gateway_ = std::make_unique<Gateway>(target, ClientOptions({{}, &authority_}));

  EXPECT_THAT(HealthWith("Connection refused"), HasSubstr("Connection refused"));
}

// A night without models would else fill the log.
TEST_F(BackendTlsTest, AServiceThatIsAwayIsLoggedOnceHoweverItIsAway) {
  auto other = std::make_unique<duet_testing::TinyHttpServer>(
      [](const duet_testing::TinyRequest&) { return duet_testing::TinyResponse(); });
  gateway_ = std::make_unique<Gateway>("127.0.0.1:" + std::to_string(other->port()), GrpcOptions());
  EXPECT_THAT(HealthWith("is away"), Not(HasSubstr("Connection refused")));

  other.reset();

  EXPECT_THAT(HealthWith("Connection refused"), HasSubstr("Connection refused"));
  EXPECT_EQ(log_.lines("backend.away").size(), 1u);
}

TEST_F(BackendTlsTest, OldProtocolVersionsAreRefused) {
  Serve({authority_.Issue(), nullptr});
  ssl::context context(ssl::context::tls_client);
  SSL_CTX_set_security_level(context.native_handle(), 0);
  const auto handshake = [&](int version) {
    SSL_CTX_set_max_proto_version(context.native_handle(), version);
    asio::io_context io;
    ssl::stream<asio::ip::tcp::socket> stream(io, context);
    stream.next_layer().connect(
        {asio::ip::make_address("127.0.0.1"), static_cast<std::uint16_t>(server_->port())});
    boost::system::error_code error;
    stream.handshake(ssl::stream_base::client, error);
    return error;
  };

  EXPECT_TRUE(handshake(TLS1_1_VERSION));
  EXPECT_FALSE(handshake(TLS1_2_VERSION));
}

TEST_F(BackendTlsTest, CertificatesAreRenewedOnBothSidesWithoutALostCall) {
  Serve({authority_.Issue(), &authority_});
  auto replicas = *ReplicaSet::Create(Target(), ClientOptions({authority_.Issue(), &authority_}));
  std::atomic<bool> stop = false;
  std::atomic<int> calls = 0;
  std::mutex mutex;
  std::vector<std::string> lost;  // what their statuses said
  std::vector<std::thread> load;
  for (int i = 0; i < 2; ++i) {
    load.emplace_back([&] {
      while (!stop) {
        grpc::ClientContext context;
        context.set_deadline(std::chrono::system_clock::now() + kPatience);
        DetectResponse response;
        const auto replica = replicas->ByLoad()[0];
        const grpc::Status status =
            Detector::NewStub(replica->channel)->Detect(&context, {}, &response);
        if (!status.ok()) {
          const std::lock_guard lock(mutex);
          lost.push_back(status.error_message());
        }
        ++calls;
      }
    });
  }

  const auto loads_of_server = [this] {
    const auto lines = log_.lines("tls.loaded");
    return std::count_if(lines.begin(), lines.end(), [](const std::string& line) {
      return line.find("server.crt") != std::string::npos;
    });
  };

  constexpr int kRenewals = 20;
  for (int i = 0; i < kRenewals; ++i) {
    const auto before = replicas->ByLoad()[0];
    for (const char* side : {"server", "client"}) {
      // One file after the other, as a careless script does it.
      const Identity renewed = authority_.Issue();
      Write(std::string(side) + ".crt", renewed.certificate);
      const int so_far = calls;
      Resolve(*replicas);
      while (calls < so_far + 2) std::this_thread::yield();
      Write(std::string(side) + ".key", renewed.key);
    }
    Resolve(*replicas);
    EXPECT_NE(replicas->ByLoad()[0], before) << "new calls show the new certificate";
    // The server takes it up when the client connects anew.
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (loads_of_server() < i + 2 && std::chrono::steady_clock::now() < end) {
      std::this_thread::yield();
    }
    EXPECT_EQ(loads_of_server(), i + 2);
  }
  stop = true;
  for (std::thread& thread : load) thread.join();

  EXPECT_THAT(lost, testing::IsEmpty()) << "of " << calls;
}

TEST_F(BackendTlsTest, ANewAuthorityIsTakenUp) {
  Serve({authority_.Issue(), &authority_});
  // Server and clients move to another authority at once: a connection from then on is of it alone.
  const Identity own = stranger_.Issue();
  Write("server.crt", own.certificate);
  Write("server.key", own.key);
  Write("server-ca.crt", stranger_.certificate());

  Connect(ClientOptions({stranger_.Issue(), &stranger_}));
  EXPECT_THAT(Detect(), StatusIs(absl::StatusCode::kOk));
  Connect(ClientOptions({authority_.Issue(), &stranger_}));
  EXPECT_THAT(HealthWith("--tls_client_ca"), HasSubstr("--tls_client_ca?"));
}

}  // namespace
}  // namespace backends
