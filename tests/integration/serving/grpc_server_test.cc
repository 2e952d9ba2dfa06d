#include "serving/grpc_server.h"

#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/impl/codegen/client_unary_call.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <future>
#include <thread>

#include "duet/detector/v1/detector.grpc.pb.h"
#include "serving/grpc_status.h"
#include "serving/host_port.h"
#include "serving/rpc_interceptor.h"
#include "tests/testing/log_capture.h"
#include "tests/testing/span_capture.h"
#include "tests/testing/status_matchers.h"

namespace serving {
namespace {

using duet::detector::v1::Detector;
using duet::detector::v1::DetectRequest;
using duet::detector::v1::DetectResponse;
using duet::detector::v1::GetModelRequest;
using duet::detector::v1::GetModelResponse;
using duet_testing::LogCapture;
using duet_testing::StatusIs;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// GetModel answers at once; Detect holds its call until let go or cancelled.
class FakeDetector final : public Detector::Service {
 public:
  grpc::Status GetModel(grpc::ServerContext* call, const GetModelRequest*,
                        GetModelResponse* response) override {
    const auto request = RequestContextOf(*call);
    if (call->client_metadata().count("x-refuse") > 0) {
      return {grpc::StatusCode::UNAVAILABLE, "not now"};
    }
    request->NoteInt("answer", 42);
    response->mutable_model()->set_name(request->request_id());
    response->mutable_model()->set_version(request->traceparent());
    return grpc::Status::OK;
  }

  grpc::Status Detect(grpc::ServerContext* call, const DetectRequest*, DetectResponse*) override {
    entered.set_value();
    while (let_go.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
      if (call->IsCancelled()) return {grpc::StatusCode::CANCELLED, "gave up"};
    }
    return grpc::Status::OK;
  }

  std::promise<void> entered;
  std::promise<void> let_go_promise;
  std::shared_future<void> let_go = let_go_promise.get_future().share();
};

class GrpcServerTest : public testing::Test {
 protected:
  GrpcServerTest() {
    auto started = GrpcServer::Start({}, {&detector_}, &metrics_);
    if (!started.ok()) throw std::runtime_error(started.status().ToString());
    server_ = *std::move(started);
    channel_ = grpc::CreateChannel("127.0.0.1:" + std::to_string(server_->port()),
                                   grpc::InsecureChannelCredentials());
    stub_ = Detector::NewStub(channel_);
  }

  // "SERVING", "NOT_SERVING" or "NOT_FOUND". grpc.health.v1's messages by hand: Debian ships no
  // stubs for it.
  std::string Health(const std::string& name) {
    // HealthCheckRequest { string service = 1; } and HealthCheckResponse { ServingStatus status =
    // 1; }
    std::string bytes;
    if (!name.empty()) bytes = std::string("\x0a") + static_cast<char>(name.size()) + name;
    grpc::Slice slice(bytes);
    grpc::ByteBuffer request(&slice, 1);
    grpc::ByteBuffer response;
    grpc::ClientContext call;
    const grpc::Status status =
        grpc::internal::BlockingUnaryCall<grpc::ByteBuffer, grpc::ByteBuffer>(
            channel_.get(),
            grpc::internal::RpcMethod("/grpc.health.v1.Health/Check",
                                      grpc::internal::RpcMethod::NORMAL_RPC),
            &call, request, &response);
    if (status.error_code() == grpc::StatusCode::NOT_FOUND) return "NOT_FOUND";
    if (!status.ok()) return status.error_message();
    std::vector<grpc::Slice> slices;
    if (!response.Dump(&slices).ok() || slices.empty()) return "no answer";
    std::string answer(reinterpret_cast<const char*>(slices[0].begin()), slices[0].size());
    return answer == "\x08\x01" ? "SERVING" : answer == "\x08\x02" ? "NOT_SERVING" : "other";
  }

  LogCapture log_;
  Metrics metrics_;
  FakeDetector detector_;
  std::unique_ptr<GrpcServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<Detector::Stub> stub_;
};

TEST_F(GrpcServerTest, LivenessIsThereFromTheStartReadinessOnlyInBetween) {
  EXPECT_EQ(Health("liveness"), "SERVING");
  EXPECT_EQ(Health("readiness"), "NOT_SERVING");
  EXPECT_EQ(Health(""), "NOT_SERVING");

  server_->SetReady(true);
  EXPECT_EQ(Health("readiness"), "SERVING");
  EXPECT_EQ(Health(""), "SERVING");

  server_->SetReady(false);
  EXPECT_EQ(Health("liveness"), "SERVING");
  EXPECT_EQ(Health("readiness"), "NOT_SERVING");
  EXPECT_EQ(Health(""), "NOT_SERVING");
  EXPECT_EQ(Health("no such name"), "NOT_FOUND");
}

TEST_F(GrpcServerTest, ProbesThatSpeakHttpAreAnsweredBesideTheMetrics) {
  const auto status_of = [this](const std::string& path) {
    namespace http = boost::beast::http;
    boost::asio::io_context io;
    boost::beast::tcp_stream stream(io);
    stream.connect(
        boost::asio::ip::tcp::endpoint(boost::asio::ip::make_address("127.0.0.1"),
                                       static_cast<unsigned short>(server_->metrics_port())));
    http::write(stream, http::request<http::empty_body>(http::verb::get, path, 11));
    boost::beast::flat_buffer buffer;
    http::response<http::string_body> response;
    http::read(stream, buffer, response);
    return response.result_int();
  };
  EXPECT_EQ(status_of("/livez"), 200);
  EXPECT_EQ(status_of("/readyz"), 503);

  server_->SetReady(true);
  EXPECT_EQ(status_of("/readyz"), 200);
  EXPECT_EQ(status_of("/metrics"), 200);
  EXPECT_EQ(status_of("/other"), 404);

  server_->SetReady(false);
  EXPECT_EQ(status_of("/readyz"), 503);
  EXPECT_EQ(status_of("/livez"), 200);
}

TEST_F(GrpcServerTest, TheCallersIdsReachTheHandlerTheLogAndTheAnswer) {
  const RequestContext request("my-id", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  grpc::ClientContext call;
  SendRequestContext(request, &call);
  GetModelResponse response;
  ASSERT_TRUE(stub_->GetModel(&call, {}, &response).ok());

  EXPECT_EQ(response.model().name(), "my-id");
  EXPECT_EQ(response.model().version(), request.traceparent());
  EXPECT_EQ(call.GetServerInitialMetadata().find("x-request-id")->second, "my-id");
  server_->Drain(absl::Now() + absl::Seconds(60));
  EXPECT_THAT(log_.lines("rpc.done"),
              ElementsAre(AllOf(HasSubstr("\"method\":\"/duet.detector.v1.Detector/GetModel\""),
                                HasSubstr("\"request_id\":\"my-id\""),
                                HasSubstr("\"trace_id\":\"0af7651916cd43dd8448eb211c80319c\""),
                                HasSubstr("\"answer\":42"), HasSubstr("\"code\":\"OK\""),
                                HasSubstr("\"ms\":"), Not(HasSubstr("127.0.0.1")))));
}

TEST_F(GrpcServerTest, AnRpcIsASpanOfItsCallersTrace) {
  const duet_testing::SpanCapture capture;
  GetModelResponse response;
  {
    grpc::ClientContext poll;  // without an id
    ASSERT_TRUE(stub_->GetModel(&poll, {}, &response).ok());
  }
  {
    grpc::ClientContext call;
    SendRequestContext(
        RequestContext("my-id", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), &call);
    ASSERT_TRUE(stub_->GetModel(&call, {}, &response).ok());
  }
  const std::string handed_on = response.model().version();
  {
    grpc::ClientContext call;
    call.AddMetadata("x-refuse", "1");
    SendRequestContext(RequestContext("other-id"), &call);
    ASSERT_FALSE(stub_->GetModel(&call, {}, &response).ok());
  }
  server_->Drain(absl::Now() + absl::Seconds(60));

  auto spans = capture.spans();
  ASSERT_THAT(spans, testing::SizeIs(2)) << "polls are none";
  // A call's span ends a moment after its caller has the answer, which may be after the next one's.
  if (spans[0].parent == 0) std::swap(spans[0], spans[1]);
  EXPECT_EQ(spans[0].name, "duet.detector.v1.Detector/GetModel");
  EXPECT_EQ(spans[0].kind, tracing::SpanKind::kServer);
  EXPECT_EQ(spans[0].ids.trace_id(), "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(spans[0].parent, 0xb7ad6b7169203331u);
  EXPECT_EQ(spans[0].ids.Traceparent(), handed_on) << "what the handler hands on is within it";
  EXPECT_EQ(duet_testing::AttributeOf(spans[0], "duet.answer"), "42");
  EXPECT_EQ(duet_testing::AttributeOf(spans[0], "duet.request_id"), "my-id");
  EXPECT_FALSE(spans[0].failed);
  EXPECT_EQ(spans[1].parent, 0u) << "who sends no trace begins one";
  EXPECT_EQ(duet_testing::AttributeOf(spans[1], "rpc.grpc.status_code"), "14");
  EXPECT_EQ(spans[1].error, "UNAVAILABLE: not now");
}

TEST_F(GrpcServerTest, WhatIsAskedEveryFewSecondsIsLoggedOnlyIfItFails) {
  GetModelResponse response;
  for (int i = 0; i < 3; ++i) {
    grpc::ClientContext call;
    ASSERT_TRUE(stub_->GetModel(&call, {}, &response).ok());
    EXPECT_EQ(Health("liveness"), "SERVING");
  }
  grpc::ClientContext refused;
  refused.AddMetadata("x-refuse", "1");
  EXPECT_FALSE(stub_->GetModel(&refused, {}, &response).ok());
  grpc::ClientContext call;
  DetectResponse detected;
  detector_.let_go_promise.set_value();
  ASSERT_TRUE(stub_->Detect(&call, {}, &detected).ok());
  server_->Drain(absl::Now() + absl::Seconds(60));

  EXPECT_THAT(log_.lines("rpc.done"),
              ElementsAre(AllOf(HasSubstr("Detector/GetModel"), HasSubstr("UNAVAILABLE")),
                          HasSubstr("Detector/Detect")));
}

TEST_F(GrpcServerTest, TheTaskThatTheCallerNamesIsInTheLine) {
  detector_.let_go_promise.set_value();
  for (const char* task : {"42", "no number\""}) {
    grpc::ClientContext call;
    call.AddMetadata("x-task-id", task);
    DetectResponse response;
    detector_.entered = std::promise<void>();
    ASSERT_TRUE(stub_->Detect(&call, {}, &response).ok());
  }
  server_->Drain(absl::Now() + absl::Seconds(60));

  EXPECT_THAT(log_.lines("rpc.done"),
              ElementsAre(HasSubstr("\"task_id\":42"), Not(HasSubstr("task_id"))));
}

TEST_F(GrpcServerTest, ACallWithoutAnIdGetsOne) {
  grpc::ClientContext call;
  GetModelResponse response;
  ASSERT_TRUE(stub_->GetModel(&call, {}, &response).ok());
  EXPECT_THAT(response.model().name(), testing::MatchesRegex("[0-9a-f]{32}"));
}

TEST_F(GrpcServerTest, FinishedCallsAreCountedByMethodAndCode) {
  grpc::ClientContext call;
  GetModelResponse response;
  ASSERT_TRUE(stub_->GetModel(&call, {}, &response).ok());
  grpc::ClientContext reload;
  duet::vision::v1::ReloadModelResponse reloaded;
  ASSERT_EQ(stub_->ReloadModel(&reload, {}, &reloaded).error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
  server_->Drain(absl::Now() + absl::Seconds(60));

  EXPECT_EQ(metrics_.Get(kRpcRequests, {"/duet.detector.v1.Detector/GetModel", "OK"}).Value(), 1);
  EXPECT_EQ(metrics_.Get(kRpcRequests, {"/duet.detector.v1.Detector/ReloadModel", "UNIMPLEMENTED"})
                .Value(),
            1);
  EXPECT_EQ(metrics_.Get(kRpcInFlight, {"/duet.detector.v1.Detector/GetModel"}).Value(), 0);
}

TEST_F(GrpcServerTest, ATakenPortIsOneClearError) {
  Metrics metrics;
  FakeDetector detector;
  EXPECT_THAT(GrpcServer::Start({.port = server_->port()}, {&detector}, &metrics),
              StatusIs(absl::StatusCode::kUnavailable,
                       "cannot listen on 127.0.0.1:" + std::to_string(server_->port()) +
                           ": Address already in use (--port)"));
  EXPECT_THAT(GrpcServer::Start({.metrics_port = server_->metrics_port()}, {&detector}, &metrics),
              StatusIs(absl::StatusCode::kUnavailable,
                       HasSubstr("Address already in use (--metrics_port)")));
}

TEST(GrpcServerAddressTest, AnIpv6AddressIsListenedOnAndNamedWithItsBrackets) {
  if (!CheckCanListen("::1", 0, "").ok()) GTEST_SKIP() << "this machine has no IPv6";
  Metrics metrics;
  FakeDetector detector;
  ASSERT_OK_AND_ASSIGN(const auto server,
                       GrpcServer::Start({.bind = "::1"}, {&detector}, &metrics));
  const auto stub = Detector::NewStub(grpc::CreateChannel("[::1]:" + std::to_string(server->port()),
                                                          grpc::InsecureChannelCredentials()));
  grpc::ClientContext call;
  GetModelResponse response;
  EXPECT_TRUE(stub->GetModel(&call, {}, &response).ok());

  for (const auto& [options, address] :
       {std::pair(GrpcServerOptions{.bind = "::1", .port = server->port()}, server->port()),
        std::pair(GrpcServerOptions{.bind = "::1", .metrics_port = server->metrics_port()},
                  server->metrics_port())}) {
    EXPECT_THAT(GrpcServer::Start(options, {&detector}, &metrics).status(),
                StatusIs(absl::StatusCode::kUnavailable,
                         HasSubstr("cannot listen on [::1]:" + std::to_string(address) + ": ")));
  }
}

TEST(GrpcStatusTest, MessagesAreUtf8OnTheWire) {
  EXPECT_EQ(ToGrpc(absl::NotFoundError("no caf\xe9")).error_message(), "no caf\xEF\xBF\xBD");
  EXPECT_EQ(FromGrpc({grpc::StatusCode::NOT_FOUND, "no caf\xe9"}).message(), "no caf\xEF\xBF\xBD");
}

TEST_F(GrpcServerTest, TlsFlagsThatCannotBeUsedAreOneClearError) {
  Metrics metrics;
  FakeDetector detector;
  const auto start = [&](GrpcServerOptions options) {
    return GrpcServer::Start(options, {&detector}, &metrics).status();
  };
  EXPECT_THAT(start({.tls_client_ca = "ca.crt"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--tls_client_ca needs")));
  EXPECT_THAT(start({.tls_key = "tls.key"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("go together")));
  EXPECT_THAT(
      start({.tls_certificate = "/no/tls.crt", .tls_key = "/no/tls.key"}),
      StatusIs(absl::StatusCode::kInvalidArgument,
               "--tls_certificate: /no/tls.crt: cannot be opened: No such file or directory"));
}

TEST_F(GrpcServerTest, DrainLetsCallsInFlightFinish) {
  grpc::ClientContext call;
  DetectResponse response;
  auto client = std::async(std::launch::async, [&] { return stub_->Detect(&call, {}, &response); });
  detector_.entered.get_future().wait();

  auto drain =
      std::async(std::launch::async, [&] { server_->Drain(absl::Now() + absl::Seconds(60)); });
  EXPECT_EQ(drain.wait_for(std::chrono::milliseconds(20)), std::future_status::timeout);
  detector_.let_go_promise.set_value();

  drain.wait();
  EXPECT_TRUE(client.get().ok());
}

TEST_F(GrpcServerTest, DrainCancelsCallsThatOutstayTheDeadline) {
  grpc::ClientContext call;
  DetectResponse response;
  auto client = std::async(std::launch::async, [&] { return stub_->Detect(&call, {}, &response); });
  detector_.entered.get_future().wait();

  server_->Drain(absl::Now() + absl::Milliseconds(1));

  EXPECT_FALSE(client.get().ok());
}

TEST_F(GrpcServerTest, ASecondDrainHurriesTheFirst) {
  grpc::ClientContext call;
  DetectResponse response;
  auto client = std::async(std::launch::async, [&] { return stub_->Detect(&call, {}, &response); });
  detector_.entered.get_future().wait();
  auto drain =
      std::async(std::launch::async, [&] { server_->Drain(absl::Now() + absl::Hours(1)); });
  EXPECT_EQ(drain.wait_for(std::chrono::milliseconds(20)), std::future_status::timeout);

  server_->Drain(absl::Now());

  drain.wait();
  EXPECT_FALSE(client.get().ok());
}

TEST_F(GrpcServerTest, AMessageAboveTheLimitIsRefusedAndLogged) {
  DetectRequest request;
  request.mutable_image()->set_data(std::string((64 << 20) + 1, 'x'));
  grpc::ClientContext call;
  DetectResponse response;

  const grpc::Status status = stub_->Detect(&call, request, &response);

  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(), HasSubstr("larger than max"));
}

}  // namespace
}  // namespace serving
