// The gRPC clients against fake services on real sockets: faults by name.
#include "backends/grpc_clients.h"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netdb.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "tests/integration/gateway/fake_services.h"

namespace {

// What the name server of "hangs.test" waits for.
std::mutex name_server_mutex;
std::condition_variable name_server_changed;
bool name_server_hangs = false;  // guarded by name_server_mutex

}  // namespace

// In the place of libc's, for this binary: one name has a server that says nothing for a while.
extern "C" int getaddrinfo(const char* host, const char* service, const addrinfo* hints,
                           addrinfo** found) {
  static const auto libc =
      reinterpret_cast<decltype(&getaddrinfo)>(dlsym(RTLD_NEXT, "getaddrinfo"));
  if (host == nullptr || std::string_view(host) != "hangs.test") {
    return libc(host, service, hints, found);
  }
  std::unique_lock lock(name_server_mutex);
  name_server_changed.wait_for(lock, std::chrono::seconds(60), [] { return !name_server_hangs; });
  return EAI_AGAIN;
}

namespace backends {
namespace {

namespace segmenter = duet::segmenter::v1;
using boost::asio::awaitable;
using gateway::testing::FakeServices;
using std::chrono::seconds;
using std::chrono::system_clock;
using ::testing::HasSubstr;

class GrpcClientsTest : public ::testing::Test {
 protected:
  GrpcClientsTest() : thread_([this] { io_.run(); }) {}
  ~GrpcClientsTest() override {
    io_.stop();
    thread_.join();
    detector_.reset();
    segmenter_.reset();
  }

  void Connect(const std::string& targets) {
    detector_ = *MakeGrpcDetector(io_.get_executor(), targets);
    segmenter_ = *MakeGrpcSegmenter(io_.get_executor(), targets);
  }

  template <typename T>
  T Run(awaitable<T> work) {
    return boost::asio::co_spawn(io_, std::move(work), boost::asio::use_future).get();
  }

  absl::StatusOr<duet::detector::v1::DetectResponse> Detect(
      CallOptions options = {system_clock::now() + seconds(20)}) {
    return Run(detector_->Detect(image_, {}, std::move(options)));
  }

  absl::StatusOr<duet::segmenter::v1::SegmentResponse> SegmentBox() {
    duet::segmenter::v1::SegmentRequest request;
    request.add_prompts()->mutable_box()->set_x_max(10);
    return Run(segmenter_->Segment(image_, request, {system_clock::now() + seconds(20)}));
  }

  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      io_.get_executor()};
  const ImageRef image_{.id = gateway::testing::ImageId("image"),
                        .bytes = std::make_shared<const std::string>("image")};
  std::unique_ptr<DetectorClient> detector_;
  std::unique_ptr<SegmenterClient> segmenter_;
  std::thread thread_;
};

TEST_F(GrpcClientsTest, CarriesRequestIdAndTrace) {
  FakeServices services;
  Connect(services.address());
  const std::string trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

  const auto answer = Detect(
      {.deadline = system_clock::now() + seconds(20), .request_id = "r1", .traceparent = trace});

  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->detections(0).label(), "cat");
  ASSERT_EQ(services.count("Detect"), 1);
  EXPECT_EQ(services.seen()[0].request_id, "r1");
  EXPECT_EQ(services.seen()[0].traceparent, trace);
}

TEST_F(GrpcClientsTest, AProxyOfTheEnvironmentIsNotTaken) {
  FakeServices services;
  setenv("http_proxy", "http://127.0.0.1:9", /*overwrite=*/1);
  setenv("grpc_proxy", "http://127.0.0.1:9", /*overwrite=*/1);
  Connect(services.address());

  const auto answer = Detect();

  unsetenv("http_proxy");
  unsetenv("grpc_proxy");
  EXPECT_TRUE(answer.ok()) << answer.status();
}

TEST_F(GrpcClientsTest, CallsThatNobodyWaitsForSaySo) {
  FakeServices services;
  std::vector<bool> background;
  services.on_detect = [&](auto&, const auto& request, auto*) {
    background.push_back(request.background());
    return grpc::Status::OK;
  };
  services.on_segment = [&](auto&, const auto& request, auto*) {
    background.push_back(request.background());
    return grpc::Status::OK;
  };
  std::vector<int> ranks;
  services.on_embed = [&](auto&, const auto& request, auto*) {
    ranks.push_back(request.rank());
    return grpc::Status::OK;
  };
  Connect(services.address());

  for (const auto priority :
       {serving::Priority::kInteractive, serving::Priority::kOpenedTask, serving::Priority::kBatch,
        serving::Priority::kPrefetch, serving::Priority::kStock}) {
    const CallOptions options{.deadline = system_clock::now() + seconds(20), .priority = priority};
    ASSERT_TRUE(Detect(options).ok());
    ASSERT_TRUE(Run(segmenter_->Segment(image_, {}, options)).ok());
    ASSERT_TRUE(Run(segmenter_->Embed(image_, options)).ok());
  }

  EXPECT_EQ(background,
            (std::vector<bool>{false, false, false, false, true, true, true, true, true, true}));
  EXPECT_EQ(ranks, (std::vector<int>{segmenter::EMBED_RANK_OPENED_TASK,
                                     segmenter::EMBED_RANK_OPENED_TASK, segmenter::EMBED_RANK_BATCH,
                                     segmenter::EMBED_RANK_PREFETCH, segmenter::EMBED_RANK_STOCK}));
}

TEST_F(GrpcClientsTest, WhereEmbeddingsAreKeptIsTold) {
  FakeServices services;
  services.store_bytes = 12'000;
  services.embedding_bytes = 345;
  services.Encode("e7");
  services.on_embed = [](auto&, const auto& request, auto*) {
    EXPECT_TRUE(request.keep());
    return grpc::Status::OK;
  };
  Connect(services.address());
  while (segmenter_->model() == nullptr) std::this_thread::yield();
  const auto model = segmenter_->model();

  const auto embedded =
      Run(segmenter_->Embed(image_, {.deadline = system_clock::now() + seconds(20), .keep = true}));

  EXPECT_EQ(model->encoder, "e7");
  EXPECT_EQ(model->embedding_bytes, 345U);
  EXPECT_EQ(model->store, (EmbeddingStore{.budget_bytes = 12'000}));
  ASSERT_TRUE(embedded.ok()) << embedded.status();
  EXPECT_EQ(embedded->kept_bytes(), 345U);
}

TEST_F(GrpcClientsTest, AVersionIsServedByReplicasThatAreThere) {
  FakeServices lasting;
  lasting.Serve("d1", "s1");
  auto leaving = std::make_unique<FakeServices>();
  leaving->Serve("d2", "s2");
  Connect(lasting.address() + "," + leaving->address());
  const auto served = [this](const std::map<std::string, int>& expected) {
    const auto end = std::chrono::steady_clock::now() + seconds(20);
    while (detector_->health().versions != expected && std::chrono::steady_clock::now() < end) {
      std::this_thread::yield();
    }
    return detector_->health().versions;
  };
  ASSERT_EQ(served({{"d1", 1}, {"d2", 1}}), (std::map<std::string, int>{{"d1", 1}, {"d2", 1}}));

  leaving.reset();

  EXPECT_EQ(served({{"d1", 1}}), (std::map<std::string, int>{{"d1", 1}}));
  EXPECT_TRUE(detector_->health().reachable);
}

// One at a time.
class HangingNameServer {
 public:
  HangingNameServer() { Set(true); }
  ~HangingNameServer() { Set(false); }

 private:
  static void Set(bool hangs) {
    const std::lock_guard lock(name_server_mutex);
    name_server_hangs = hangs;
    name_server_changed.notify_all();
  }
};

TEST_F(GrpcClientsTest, ReplicasThatAreKnownAreAskedWhileANameServerHangs) {
  FakeServices services;
  services.Serve("d1", "s1");
  const HangingNameServer hanging;
  Connect(services.address() + ",hangs.test:50051");
  const auto announced = [this](const std::string& expected) {
    const auto end = std::chrono::steady_clock::now() + seconds(20);
    std::string version;
    while (version != expected && std::chrono::steady_clock::now() < end) {
      if (const auto model = detector_->model()) version = model->version;
      std::this_thread::yield();
    }
    return version;
  };
  ASSERT_EQ(announced("d1"), "d1");

  services.Serve("d2", "s2");
  const auto answer = Detect({.deadline = system_clock::now() + seconds(20), .version = "d1"});

  EXPECT_EQ(answer.status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(announced("d2"), "d2");
}

TEST_F(GrpcClientsTest, AForgottenImageIsSentAgain) {
  FakeServices services;
  Connect(services.address());

  ASSERT_TRUE(SegmentBox().ok());
  ASSERT_TRUE(SegmentBox().ok());

  std::vector<bool> with_image;
  for (const auto& call : services.seen()) with_image.push_back(call.with_image);
  EXPECT_EQ(with_image, (std::vector<bool>{false, true, false}));
}

// Streams so many masks, each in a message of its own.
auto Everything(int masks, grpc::Status end = grpc::Status::OK, std::size_t bytes = 0) {
  return [=](grpc::ServerContext&, const auto&, auto* stream) {
    for (int i = 1; i <= masks; ++i) {
      auto& mask = *stream->emplace_back().mutable_mask();
      mask.set_point_x(static_cast<float>(i));
      mask.mutable_mask()->set_png(std::string(bytes, 'x'));
    }
    return end;
  };
}

TEST_F(GrpcClientsTest, AStreamOfMasksIsOneAnswer) {
  FakeServices services;
  services.Serve("d1", "s1");
  services.on_everything = Everything(300, grpc::Status::OK, 4096);  // more than HTTP/2's window
  Connect(services.address());

  const auto masks = Run(segmenter_->SegmentEverything(
      image_, {}, {.deadline = system_clock::now() + seconds(20), .version = "s1"}));

  ASSERT_TRUE(masks.ok()) << masks.status();
  ASSERT_EQ(masks->size(), 300U);
  for (std::size_t i = 0; i < masks->size(); ++i) {
    EXPECT_EQ((*masks)[i].point_x(), static_cast<float>(i + 1));
  }
}

TEST_F(GrpcClientsTest, EverythingOfAnImageThatIsThereNeedsNoBytesUnlessItIsCropped) {
  FakeServices services;
  services.on_everything = Everything(1);
  Connect(services.address());
  const CallOptions options{system_clock::now() + seconds(20)};
  const auto bytes_sent = [&](segmenter::SegmentEverythingRequest request) {
    const std::size_t before = services.seen().size();
    EXPECT_TRUE(Run(segmenter_->SegmentEverything(image_, std::move(request), options)).ok());
    std::vector<bool> with_image;
    const auto seen = services.seen();
    for (std::size_t i = before; i < seen.size(); ++i) with_image.push_back(seen[i].with_image);
    return with_image;
  };
  segmenter::SegmentEverythingRequest crops;
  crops.set_crop_n_layers(1);

  EXPECT_EQ(bytes_sent({}), (std::vector<bool>{false, true})) << "nobody has it yet";
  EXPECT_EQ(bytes_sent({}), (std::vector<bool>{false}));
  EXPECT_EQ(bytes_sent(crops), (std::vector<bool>{true}));
}

TEST_F(GrpcClientsTest, AStreamThatBreaksOffIsNoAnswer) {
  FakeServices broken, whole;
  broken.on_everything = Everything(2, {grpc::StatusCode::UNAVAILABLE, "drains"});
  whole.on_everything = Everything(3);
  Connect(broken.address());
  const CallOptions options{system_clock::now() + seconds(20)};
  EXPECT_EQ(Run(segmenter_->SegmentEverything(image_, {}, options)).status().code(),
            absl::StatusCode::kUnavailable);
  broken.on_everything =
      Everything(2, {grpc::StatusCode::INVALID_ARGUMENT, "points_per_side is 0"});
  EXPECT_THAT(Run(segmenter_->SegmentEverything(image_, {}, options)).status().message(),
              HasSubstr("points_per_side is 0"));

  broken.on_everything = Everything(2, {grpc::StatusCode::UNAVAILABLE, "drains"});
  Connect(broken.address() + "," + whole.address());
  const auto masks = Run(segmenter_->SegmentEverything(image_, {}, options));
  ASSERT_TRUE(masks.ok()) << masks.status();
  EXPECT_EQ(masks->size(), 3U) << "those of the replica that ended well, and no others";
}

TEST_F(GrpcClientsTest, DetectorAwayIsUnavailableAndNamesIt) {
  int port = 0;
  {
    FakeServices services;
    port = services.port();
  }
  Connect("127.0.0.1:" + std::to_string(port));

  const auto answer = Detect();

  EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(answer.status().message()), HasSubstr("the detector at 127.0.0.1:"));
  EXPECT_EQ(detector_->model(), nullptr);
}

TEST_F(GrpcClientsTest, UnavailableIsTriedAgain) {
  FakeServices services;
  std::atomic<int> calls = 0;
  services.on_detect = [&](auto&, auto&, auto*) {
    return ++calls < 3 ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "draining") : grpc::Status::OK;
  };
  Connect(services.address());

  EXPECT_TRUE(Detect().ok());
  EXPECT_EQ(calls, 3);
}

// What a call gets that reaches a server just when that begins to drain.
TEST_F(GrpcClientsTest, WhatTheServerCancelledIsTriedAgain) {
  FakeServices services;
  std::atomic<int> calls = 0;
  services.on_detect = [&](auto&, auto&, auto*) {
    return ++calls < 2 ? grpc::Status::CANCELLED : grpc::Status::OK;
  };
  Connect(services.address());

  EXPECT_TRUE(Detect().ok());
  EXPECT_EQ(calls, 2);
}

TEST_F(GrpcClientsTest, InvalidArgumentIsNotTriedAgain) {
  FakeServices services;
  services.on_detect = [](auto&, auto&, auto*) {
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "not an image");
  };
  Connect(services.address());

  const auto answer = Detect();

  EXPECT_EQ(answer.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(services.count("Detect"), 1);
}

TEST_F(GrpcClientsTest, ResourceExhaustedFailsAtOnceUnlessPatient) {
  FakeServices services;
  std::atomic<int> calls = 0;
  services.on_detect = [&](auto&, auto&, auto*) {
    return ++calls < 3 ? grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "full")
                       : grpc::Status::OK;
  };
  Connect(services.address());

  EXPECT_EQ(Detect().status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(
      Detect({.deadline = system_clock::now() + seconds(20), .priority = serving::Priority::kBatch})
          .ok());
}

TEST_F(GrpcClientsTest, SlowDetectorEndsAtTheDeadline) {
  FakeServices services;
  services.on_detect = [](grpc::ServerContext& context, auto&, auto*) {
    while (!context.IsCancelled()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return grpc::Status::CANCELLED;
  };
  Connect(services.address());

  const auto answer = Detect({.deadline = system_clock::now() + std::chrono::milliseconds(50)});

  EXPECT_EQ(answer.status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(GrpcClientsTest, CancellingTheCoroutineCancelsTheCall) {
  FakeServices services;
  std::promise<void> entered;
  std::promise<void> cancelled;
  services.on_detect = [&](grpc::ServerContext& context, auto&, auto*) {
    entered.set_value();
    while (!context.IsCancelled()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    cancelled.set_value();
    return grpc::Status::CANCELLED;
  };
  Connect(services.address());
  const auto until_entered = [&]() -> awaitable<void> {
    boost::asio::steady_timer timer(io_);
    auto future = entered.get_future();
    while (future.wait_for(seconds(0)) != std::future_status::ready) {
      timer.expires_after(std::chrono::milliseconds(1));
      co_await timer.async_wait(boost::asio::use_awaitable);
    }
  };

  using boost::asio::experimental::awaitable_operators::operator||;
  auto either =
      detector_->Detect(image_, {}, {system_clock::now() + seconds(60)}) || until_entered();
  Run(std::move(either));

  EXPECT_EQ(cancelled.get_future().wait_for(seconds(20)), std::future_status::ready);
}

TEST_F(GrpcClientsTest, ASegmenterThatIsGoneOrFullHandsOverToTheNext) {
  FakeServices one;
  FakeServices two;
  Connect(one.address() + "," + two.address());
  ASSERT_TRUE(SegmentBox().ok());
  FakeServices& first = one.count("Segment") > 0 ? one : two;
  FakeServices& second = &first == &one ? two : one;
  ASSERT_EQ(second.count("Segment"), 0) << "one image stays with one replica";
  first.on_segment = [](auto&, auto&, auto*) {
    return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "full");
  };

  EXPECT_TRUE(SegmentBox().ok());
  EXPECT_GT(second.count("Segment"), 0);
}

// Otherwise the replica that was too busy to encode the image would encode it, too.
TEST_F(GrpcClientsTest, WhatIsAskedAboutAnImageGoesWhereItWasEncoded) {
  FakeServices one;
  FakeServices two;
  std::atomic<int> refusals = 1;  // of whichever is asked first
  one.embeds_to_refuse = two.embeds_to_refuse = &refusals;
  Connect(one.address() + "," + two.address());

  ASSERT_TRUE(Run(segmenter_->Embed(image_, {system_clock::now() + seconds(20)})).ok());
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(SegmentBox().ok());

  EXPECT_EQ(one.count("Embed") + two.count("Embed"), 2) << "one of them was refused";
  int encoded_by_segment = 0;
  for (const FakeServices* services : {&one, &two}) {
    for (const auto& call : services->seen()) {
      encoded_by_segment += call.method == "Segment" && call.with_image;
    }
  }
  EXPECT_EQ(encoded_by_segment, 0);
  EXPECT_EQ(std::max(one.count("Segment"), two.count("Segment")), 3);
  EXPECT_EQ(std::min(one.count("Segment"), two.count("Segment")), 0)
      << "the full one is left alone";

  // Once it has the image after all, it is asked again.
  ASSERT_TRUE(Run(segmenter_->Embed(image_, {system_clock::now() + seconds(20)})).ok());
  EXPECT_EQ(one.count("Embed") + two.count("Embed"), 3);
}

// The click comes while the image is still being encoded.
TEST_F(GrpcClientsTest, WhatIsAskedWhileAnImageIsEncodedElsewhereGoesThereToo) {
  FakeServices one;
  FakeServices two;
  std::atomic<int> refusals = 1;
  one.embeds_to_refuse = two.embeds_to_refuse = &refusals;
  std::promise<FakeServices*> encoding;
  std::promise<void> clicked;
  for (FakeServices* services : {&one, &two}) {
    services->on_embed = [&, services](auto&, auto&, auto*) {
      encoding.set_value(services);
      clicked.get_future().wait();
      return grpc::Status::OK;
    };
  }
  Connect(one.address() + "," + two.address());
  auto embedding = boost::asio::co_spawn(
      io_, segmenter_->Embed(image_, {system_clock::now() + seconds(60)}), boost::asio::use_future);
  const FakeServices* const encoder = encoding.get_future().get();

  EXPECT_TRUE(SegmentBox().ok());
  clicked.set_value();
  EXPECT_TRUE(embedding.get().ok());

  EXPECT_GT(encoder->count("Segment"), 0);
  EXPECT_EQ((encoder == &one ? two : one).count("Segment"), 0) << "it would encode the image, too";
}

TEST_F(GrpcClientsTest, ImagesSpreadOverTheSegmenters) {
  FakeServices one;
  FakeServices two;
  Connect(one.address() + "," + two.address());

  for (int i = 0; i < 40; ++i) {
    const std::string bytes = "image " + std::to_string(i);
    const ImageRef image{gateway::testing::ImageId(bytes),
                         std::make_shared<const std::string>(bytes)};
    ASSERT_TRUE(Run(segmenter_->Embed(image, {system_clock::now() + seconds(20)})).ok());
  }

  // A fair coin shows fewer than 5 heads of 40 once in ten million.
  EXPECT_GE(one.count("Embed"), 5);
  EXPECT_GE(two.count("Embed"), 5);
}

TEST_F(GrpcClientsTest, TheModelBecomesKnownInTheBackground) {
  FakeServices services;
  Connect(services.address());

  while (!detector_->model() || !segmenter_->model()) std::this_thread::yield();

  EXPECT_EQ(detector_->model()->version, "d1");
  EXPECT_THAT(detector_->model()->classes, ::testing::ElementsAre("cat", "dog"));
  EXPECT_EQ(segmenter_->model()->name, "sam-vit-b");
}

TEST(MakeGrpcDetectorTest, AMalformedTargetNamesItsFlag) {
  boost::asio::io_context io;
  for (const char* targets : {"", "host", "host:", ":1", "a:1,b", "host:70000"}) {
    const auto client = MakeGrpcDetector(io.get_executor(), targets);
    EXPECT_EQ(client.status().code(), absl::StatusCode::kInvalidArgument) << targets;
    EXPECT_THAT(std::string(client.status().message()), HasSubstr("--detector")) << targets;
  }
}

}  // namespace
}  // namespace backends
