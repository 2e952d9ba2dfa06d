#include "image_fetch/image_fetcher.h"

#include <absl/strings/escaping.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "image_fetch/async_fetch.h"
#include "tests/integration/gateway/tiny_http_server.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"
#include "text/str_cat.h"

namespace image_fetch {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using duet_testing::TinyHttpServer;
using duet_testing::TinyRequest;
using duet_testing::TinyResponse;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

using Code = absl::StatusCode;

const std::string& Jpeg() {
  static const std::string bytes = duet_testing::ReadFile(DUET_TEST_DATA "/images/o1.jpg");
  return bytes;
}

class ImageFetcherTest : public testing::Test {
 protected:
  ImageFetcherTest() {
    options_.clock = [this] { return absl::FromUnixSeconds(now_s_); };
  }

  // The loopback servers of these tests are private addresses: allowed unless a test is about that.
  void Start(bool allow_private = true) {
    options_.allow_all_private = allow_private;
    auto fetcher = ImageFetcher::Create(options_);
    ASSERT_TRUE(fetcher.ok()) << fetcher.status();
    fetcher_ = *std::move(fetcher);
  }

  ImageFetcher::Result Get(ImageRequest request) {
    if (fetcher_ == nullptr) Start();
    std::promise<ImageFetcher::Result> promise;
    fetcher_->Fetch(std::move(request),
                    [&](ImageFetcher::Result result) { promise.set_value(std::move(result)); });
    return promise.get_future().get();
  }
  ImageFetcher::Result Get(const std::string& uri) { return Get(ImageRequest{uri}); }

  ImageFetcher::Options options_;
  std::atomic<std::int64_t> now_s_{1'700'000'000};
  std::unique_ptr<ImageFetcher> fetcher_;
};

ImageRequest OnLabelStudio(const TinyHttpServer& server, const std::string& uri,
                           const std::string& api_key) {
  ImageRequest request;
  request.uri = uri;
  request.task_id = 25;
  request.label_studio = {
      .url = server.url(), .token = std::make_shared<serving::Secret>(api_key), .trusted = true};
  return request;
}

std::string Jwt(const std::string& type) {
  std::string payload;
  absl::WebSafeBase64Escape("{\"token_type\":\"" + type + "\"}", &payload);
  return "eyJhbGciOiJIUzI1NiJ9." + payload + ".c2ln";
}

TEST_F(ImageFetcherTest, AnImageComesWithItsHashAndSizeAndThenFromTheCache) {
  TinyHttpServer server([](const TinyRequest&) { return TinyResponse{200, {}, Jpeg()}; });

  ASSERT_OK_AND_ASSIGN(const auto image, Get(server.url() + "/a.jpg"));
  ASSERT_OK_AND_ASSIGN(const auto again, Get(server.url() + "/a.jpg"));
  ASSERT_OK_AND_ASSIGN(const auto other, Get(server.url() + "/b.jpg"));

  EXPECT_EQ(image->bytes, Jpeg());
  EXPECT_EQ(image->image_id.size(), 64u);
  EXPECT_GT(image->size.width, 0);
  EXPECT_EQ(again, image);
  EXPECT_EQ(other->image_id, image->image_id) << "the id is of the content";
  EXPECT_EQ(server.requests(), 2);
  EXPECT_EQ(server.connections(), 1) << "the connection is reused";
  EXPECT_EQ(fetcher_->stats().cache_hits, 1);
}

TEST_F(ImageFetcherTest, AStaleImageIsAskedForWithItsValidator) {
  std::atomic<int> conditional{0};
  TinyHttpServer server([&](const TinyRequest& request) {
    if (request.headers.count("if-none-match") == 0) {
      return TinyResponse{200, {"ETag: \"v1\""}, Jpeg()};
    }
    ++conditional;
    return TinyResponse{304, {}, ""};
  });

  ASSERT_OK_AND_ASSIGN(const auto image, Get(server.url() + "/a.jpg"));
  now_s_ += 61;
  ASSERT_OK_AND_ASSIGN(const auto again, Get(server.url() + "/a.jpg"));
  ASSERT_OK_AND_ASSIGN(const auto fresh, Get(server.url() + "/a.jpg"));

  EXPECT_EQ(again, image);
  EXPECT_EQ(conditional, 1);
  EXPECT_EQ(fetcher_->stats().revalidated, 1);
}

TEST_F(ImageFetcherTest, FailuresAreRememberedForSecondsWithTheirClass) {
  std::atomic<bool> mended = false;
  TinyHttpServer server([&](const TinyRequest& request) {
    if (mended) return TinyResponse{200, {}, Jpeg()};
    if (request.target == "/page") return TinyResponse{200, {}, "<!doctype html><p>hello"};
    return TinyResponse{404, {}, ""};
  });
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(Get(server.url() + "/gone?sig=secret"),
                StatusIs(Code::kNotFound, AllOf(HasSubstr("/gone"), Not(HasSubstr("secret")))));
    EXPECT_THAT(Get(server.url() + "/page"), StatusIs(Code::kInvalidArgument, HasSubstr("/page")));
  }
  EXPECT_EQ(server.requests(), 2) << "two requests for one image ask once";
  EXPECT_EQ(fetcher_->stats().negative_hits, 2);

  // An annotator uploads what was missing, and opens the task again.
  mended = true;
  now_s_ += 5;
  EXPECT_THAT(Get(server.url() + "/gone?sig=secret"), IsOk());
  now_s_ += 15;
  EXPECT_THAT(Get(server.url() + "/page"), IsOk());
  EXPECT_EQ(server.requests(), 4);
}

TEST_F(ImageFetcherTest, EveryStatusSaysWhetherAnotherTryMayHelp) {
  TinyHttpServer server([](const TinyRequest& request) {
    return TinyResponse{std::stoi(request.target.substr(1)), {"Retry-After: 1"}, ""};
  });
  for (const auto& [status, code] : {std::pair{400, Code::kInvalidArgument},
                                     {401, Code::kPermissionDenied},
                                     {403, Code::kPermissionDenied},
                                     {404, Code::kNotFound},
                                     {408, Code::kUnavailable},
                                     {410, Code::kNotFound},
                                     {425, Code::kUnavailable},
                                     {429, Code::kUnavailable},
                                     {451, Code::kInvalidArgument},
                                     {500, Code::kUnavailable},
                                     {502, Code::kUnavailable},
                                     {503, Code::kUnavailable},
                                     {504, Code::kUnavailable}}) {
    const std::string number = std::to_string(status);
    const int before = server.requests();
    for (int i = 0; i < 2; ++i) {
      EXPECT_THAT(Get(server.url() + "/" + number), StatusIs(code, HasSubstr(number)));
    }
    const bool remembered = code == Code::kNotFound || code == Code::kInvalidArgument;
    EXPECT_EQ(server.requests() - before, remembered ? 1 : 2) << number;
  }
}

TEST_F(ImageFetcherTest, PrivateAddressesAreRefusedAtConnect) {
  TinyHttpServer server([](const TinyRequest&) { return TinyResponse{200, {}, Jpeg()}; });
  Start(/*allow_private=*/false);
  const std::string port = std::to_string(server.port());

  for (const std::string host :
       {"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0x7f.1", "2130706433"}) {
    EXPECT_THAT(Get("http://" + host + ":" + port + "/a.jpg"),
                StatusIs(Code::kPermissionDenied, HasSubstr("--allowed_private")))
        << host;
  }
  EXPECT_EQ(server.connections(), 0);
}

TEST_F(ImageFetcherTest, ARedirectToAPrivateAddressIsRefusedAndLabelStudioItselfIsNot) {
  TinyHttpServer inner([](const TinyRequest&) { return TinyResponse{200, {}, Jpeg()}; });
  TinyHttpServer label_studio([&](const TinyRequest& request) {
    if (request.target == "/data/upload/1/a.jpg") return TinyResponse{200, {}, Jpeg()};
    return TinyResponse{303, {"Location: " + inner.url() + "/x.jpg"}, ""};
  });
  Start(/*allow_private=*/false);

  EXPECT_THAT(Get(OnLabelStudio(label_studio, "/data/upload/1/a.jpg", "key")), IsOk());
  EXPECT_THAT(Get(OnLabelStudio(label_studio, "/data/upload/1/b.jpg", "key")),
              StatusIs(Code::kPermissionDenied));
  EXPECT_EQ(inner.connections(), 0);
}

TEST_F(ImageFetcherTest, AReusedConnectionIsCheckedToo) {
  TinyHttpServer label_studio([](const TinyRequest&) { return TinyResponse{200, {}, Jpeg()}; });
  Start(/*allow_private=*/false);
  ASSERT_THAT(Get(OnLabelStudio(label_studio, "/data/upload/1/a.jpg", "key")), IsOk());

  // Another project, which has another Label Studio: the connection is open, and still not for it.
  EXPECT_THAT(Get(label_studio.url() + "/other.jpg"), StatusIs(Code::kPermissionDenied));
  EXPECT_EQ(label_studio.requests(), 1);
}

TEST_F(ImageFetcherTest, TokensNeverGoToAnotherHost) {
  std::mutex mutex;
  std::vector<std::string> seen;
  TinyHttpServer storage([&](const TinyRequest& request) {
    const std::lock_guard lock(mutex);
    const auto it = request.headers.find("authorization");
    seen.push_back(it == request.headers.end() ? "" : it->second);
    return TinyResponse{200, {}, Jpeg()};
  });
  TinyHttpServer label_studio([&](const TinyRequest& request) {
    {
      const std::lock_guard lock(mutex);
      seen.push_back(request.headers.at("authorization") + " " + request.target);
    }
    return TinyResponse{303, {"Location: " + storage.url() + "/signed?sig=1"}, ""};
  });

  ASSERT_THAT(Get(OnLabelStudio(label_studio, "s3://bucket/imgs/a b.jpg", "legacy")), IsOk());
  ASSERT_THAT(Get(OnLabelStudio(label_studio, storage.url() + "/direct.jpg", "legacy")), IsOk());

  EXPECT_THAT(seen, testing::ElementsAre(
                        "Token legacy /tasks/25/presign/?fileuri=czM6Ly9idWNrZXQvaW1ncy9hIGIuanBn",
                        "", ""));
}

// What servers were asked, with which credentials: "TARGET AUTHORIZATION".
class Seen {
 public:
  void Add(const TinyRequest& request) {
    const std::lock_guard lock(mutex_);
    const auto found = request.headers.find("authorization");
    all_.push_back(request.target + " " + (found == request.headers.end() ? "-" : found->second));
  }
  std::vector<std::string> all() const {
    const std::lock_guard lock(mutex_);
    return all_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> all_;
};

TEST_F(ImageFetcherTest, TheTokenGoesToImagePathsAndNotToTheApi) {
  Seen seen;
  TinyHttpServer label_studio([&](const TinyRequest& request) {
    seen.Add(request);
    return TinyResponse{200, {}, Jpeg()};
  });
  Start(/*allow_private=*/false);

  for (const char* uri : {"/data/upload/1/a.jpg", "/api/users/1/", "/data/../api/users/",
                          "/data/%2e%2e/api/users/", "/pictures/a.jpg"}) {
    EXPECT_THAT(Get(OnLabelStudio(label_studio, uri, "key")), IsOk()) << uri;
  }
  EXPECT_THAT(Get(OnLabelStudio(label_studio, label_studio.url() + "/api/tasks/1", "key")), IsOk());

  EXPECT_THAT(seen.all(), testing::ElementsAre("/data/upload/1/a.jpg Token key", "/api/users/1/ -",
                                               "/data/../api/users/ -", "/data/%2e%2e/api/users/ -",
                                               "/pictures/a.jpg -", "/api/tasks/1 -"));
}

TEST_F(ImageFetcherTest, WhatLeftLabelStudioComesBackAsAStranger) {
  Seen seen;
  std::string studio_url;
  TinyHttpServer elsewhere([&](const TinyRequest& request) {
    seen.Add(request);
    return TinyResponse{302, {"Location: " + studio_url + "/data/upload/1/a.jpg"}, ""};
  });
  TinyHttpServer label_studio([&](const TinyRequest& request) {
    seen.Add(request);
    if (request.target == "/data/upload/1/away.jpg") {
      return TinyResponse{302, {"Location: " + elsewhere.url() + "/b"}, ""};
    }
    return TinyResponse{200, {}, Jpeg()};
  });
  studio_url = label_studio.url();
  options_.allowed_private = {"127.0.0.1:" + std::to_string(elsewhere.port())};
  Start(/*allow_private=*/false);

  EXPECT_THAT(Get(OnLabelStudio(label_studio, elsewhere.url() + "/a", "key")),
              StatusIs(Code::kPermissionDenied, HasSubstr("--allowed_private")));
  EXPECT_THAT(Get(OnLabelStudio(label_studio, "/data/upload/1/away.jpg", "key")),
              StatusIs(Code::kPermissionDenied));

  EXPECT_THAT(seen.all(),
              testing::ElementsAre("/a -", "/data/upload/1/away.jpg Token key", "/b -"));
}

TEST_F(ImageFetcherTest, ARedirectToAnotherNameOfLabelStudioStaysThere) {
  Seen seen;
  TinyHttpServer label_studio([&](const TinyRequest& request) {
    seen.Add(request);
    if (request.target == "/data/a") {
      return TinyResponse{302, {"Location: http://labels.invalid/ls/data/b"}, ""};
    }
    return TinyResponse{200, {}, Jpeg()};
  });
  Start(/*allow_private=*/false);
  ImageRequest request = OnLabelStudio(label_studio, "/data/a", "key");
  request.label_studio.aliases = {"http://labels.invalid/ls"};

  EXPECT_THAT(Get(request), IsOk());

  EXPECT_THAT(seen.all(), testing::ElementsAre("/data/a Token key", "/data/b Token key"));
}

TEST_F(ImageFetcherTest, ASiteThatTheOperatorDidNotNameIsHeldToTheAddressPolicy) {
  TinyHttpServer server([](const TinyRequest&) { return TinyResponse{200, {}, Jpeg()}; });
  Start(/*allow_private=*/false);

  for (const char* uri : {"/data/upload/1/a.jpg", "/a.jpg", "s3://bucket/a.jpg", "gs://bucket/a"}) {
    ImageRequest request = OnLabelStudio(server, uri, Jwt("refresh"));
    request.label_studio.trusted = false;
    EXPECT_THAT(Get(request),
                StatusIs(Code::kPermissionDenied, HasSubstr("--label_studio_url=" + server.url())))
        << uri;
  }
  EXPECT_EQ(server.connections(), 0);
}

TEST_F(ImageFetcherTest, WhatLabelStudioSignsIsRememberedByTask) {
  TinyHttpServer store([](const TinyRequest& request) {
    return TinyResponse{200, {}, Jpeg() + request.target};  // behind the end marker
  });
  TinyHttpServer label_studio([&](const TinyRequest& request) {
    if (request.target.starts_with("/tasks/1/")) return TinyResponse{404, {}, ""};
    return TinyResponse{303, {"Location: " + store.url() + request.target.substr(0, 9)}, ""};
  });
  const auto of_task = [&](std::int64_t task) {
    ImageRequest request = OnLabelStudio(label_studio, "s3://bucket/a.jpg", "key");
    request.task_id = task;
    return Get(request);
  };

  EXPECT_THAT(of_task(1), StatusIs(Code::kNotFound, HasSubstr("connect a storage")));
  ASSERT_OK_AND_ASSIGN(const auto second, of_task(2));
  ASSERT_OK_AND_ASSIGN(const auto third, of_task(3));

  EXPECT_NE(second->image_id, third->image_id) << "two stores may have buckets of one name";
  ASSERT_OK_AND_ASSIGN(const auto again, of_task(2));
  EXPECT_EQ(again, second);
  EXPECT_THAT(of_task(1), StatusIs(Code::kNotFound));
  EXPECT_EQ(fetcher_->stats().negative_hits, 1);
}

TEST_F(ImageFetcherTest, WhatOneTokenMaySeeAnotherIsNotServed) {
  TinyHttpServer label_studio([](const TinyRequest& request) {
    const auto token = request.headers.find("authorization");
    if (token == request.headers.end() || token->second != "Token good") {
      return TinyResponse{404, {}, ""};
    }
    return TinyResponse{200, {}, Jpeg()};
  });
  const std::string uri = "/data/upload/1/a.jpg";
  EXPECT_THAT(Get(OnLabelStudio(label_studio, uri, "bad")), StatusIs(Code::kNotFound));
  EXPECT_THAT(Get(OnLabelStudio(label_studio, uri, "good")), IsOk());
  EXPECT_THAT(Get(OnLabelStudio(label_studio, uri, "bad")), StatusIs(Code::kNotFound));
  EXPECT_THAT(Get(OnLabelStudio(label_studio, uri, "")), StatusIs(Code::kNotFound));
  // Nor somebody for whom the same address isn't trusted, without a connection.
  ImageRequest request = OnLabelStudio(label_studio, uri, "good");
  request.label_studio.trusted = false;
  EXPECT_EQ(fetcher_->Find(request), nullptr);
}

TEST_F(ImageFetcherTest, APersonalTokenIsExchangedWhereItsSiteIsAndUnderThePolicy) {
  TinyHttpServer server([](const TinyRequest&) { return TinyResponse{200, {}, "{}"}; });
  Start(/*allow_private=*/false);
  ImageRequest request = OnLabelStudio(server, "/data/upload/1/a.jpg", Jwt("refresh"));
  request.label_studio.trusted = false;

  EXPECT_THAT(Get(request), StatusIs(Code::kPermissionDenied));
  EXPECT_EQ(server.connections(), 0);
}

// Anybody may teach tokens by /setup.
TEST_F(ImageFetcherTest, SessionsOfTokensAreBounded) {
  std::atomic<int> exchanges{0};
  TinyHttpServer server([&](const TinyRequest& request) {
    if (request.target != "/api/token/refresh/") return TinyResponse{200, {}, Jpeg()};
    return TinyResponse{200, {}, "{\"access\":\"a" + std::to_string(++exchanges) + "\"}"};
  });
  const auto get = [&](int token, const std::string& name) {
    return Get(OnLabelStudio(server, "/data/" + name, Jwt("refresh") + std::to_string(token)));
  };
  for (int token = 0; token < 300; ++token) EXPECT_THAT(get(token, "a"), IsOk());
  EXPECT_EQ(exchanges, 300);

  EXPECT_THAT(get(299, "b"), IsOk());
  EXPECT_EQ(exchanges, 300) << "remembered";
  EXPECT_THAT(get(0, "b"), IsOk());
  EXPECT_EQ(exchanges, 301) << "dropped, and made again";
}

TEST_F(ImageFetcherTest, EveryObjectStoreWithoutKeysGoesThroughLabelStudio) {
  std::mutex mutex;
  std::vector<std::string> asked;
  TinyHttpServer storage([](const TinyRequest& request) {
    EXPECT_EQ(request.headers.count("authorization"), 0u) << request.target;
    return TinyResponse{200, {}, Jpeg()};
  });
  TinyHttpServer label_studio([&](const TinyRequest& request) {
    {
      const std::lock_guard lock(mutex);
      asked.push_back(request.target);
    }
    // Presign off: Label Studio hands the bytes over itself.
    if (request.target.find("YXp1cmU") != std::string::npos) return TinyResponse{200, {}, Jpeg()};
    return TinyResponse{303, {"Location: " + storage.url() + "/signed"}, ""};
  });

  EXPECT_THAT(Get(OnLabelStudio(label_studio, "s3://bucket/a.jpg", "key")), IsOk());
  EXPECT_THAT(Get(OnLabelStudio(label_studio, "gs://bucket/a.jpg", "key")), IsOk());
  EXPECT_THAT(Get(OnLabelStudio(label_studio, "azure-blob://box/a.jpg", "key")), IsOk());
  EXPECT_THAT(Get(OnLabelStudio(label_studio, "s3://bucket/>>>???.jpg", "key")), IsOk());

  EXPECT_THAT(asked, testing::ElementsAre(
                         "/tasks/25/presign/?fileuri=czM6Ly9idWNrZXQvYS5qcGc%3D",
                         "/tasks/25/presign/?fileuri=Z3M6Ly9idWNrZXQvYS5qcGc%3D",
                         "/tasks/25/presign/?fileuri=YXp1cmUtYmxvYjovL2JveC9hLmpwZw%3D%3D",
                         // Python's urlsafe_b64encode: with - and _ instead of + and /.
                         "/tasks/25/presign/?fileuri=czM6Ly9idWNrZXQvPj4-Pz8_LmpwZw%3D%3D"));
  EXPECT_EQ(storage.requests(), 3);
}

TEST_F(ImageFetcherTest, ARevalidationThatBringsAnotherImageReplacesIt) {
  std::atomic<int> version{1};
  TinyHttpServer server([&](const TinyRequest& request) {
    const std::string tag = "\"v" + std::to_string(version) + "\"";
    const auto asked = request.headers.find("if-none-match");
    if (asked != request.headers.end() && asked->second == tag) return TinyResponse{304, {}, ""};
    std::string bytes = Jpeg();
    if (version == 2) bytes += "more";  // behind the end marker: another image to a hash
    return TinyResponse{200, {"ETag: " + tag}, std::move(bytes)};
  });

  ASSERT_OK_AND_ASSIGN(const auto first, Get(server.url() + "/a.jpg"));
  version = 2;
  ASSERT_OK_AND_ASSIGN(const auto cached, Get(server.url() + "/a.jpg"));
  now_s_ += 61;
  ASSERT_OK_AND_ASSIGN(const auto second, Get(server.url() + "/a.jpg"));

  EXPECT_EQ(cached, first) << "fresh";
  EXPECT_NE(second->image_id, first->image_id);
  EXPECT_EQ(fetcher_->stats().revalidated, 0);
}

TEST_F(ImageFetcherTest, APersonalTokenIsExchangedOnceAndRenewedByAgeAndOn401) {
  std::atomic<int> exchanges{0};
  std::atomic<bool> revoke{false};
  TinyHttpServer server([&](const TinyRequest& request) {
    if (request.target == "/api/token/refresh/") {
      EXPECT_EQ(request.body, "{\"refresh\":\"" + Jwt("refresh") + "\"}");
      return TinyResponse{200, {}, "{\"access\":\"access" + std::to_string(++exchanges) + "\"}"};
    }
    const std::string& header = request.headers.at("authorization");
    if (revoke && header == "Bearer access2") return TinyResponse{401, {}, ""};
    return TinyResponse{200, {}, Jpeg()};
  });
  Start();

  std::vector<std::promise<ImageFetcher::Result>> promises(8);
  for (std::size_t i = 0; i < promises.size(); ++i) {
    fetcher_->Fetch(OnLabelStudio(server, "/data/upload/1/" + std::to_string(i), Jwt("refresh")),
                    [&promise = promises[i]](ImageFetcher::Result result) {
                      promise.set_value(std::move(result));
                    });
  }
  for (auto& promise : promises) EXPECT_THAT(promise.get_future().get(), IsOk());
  EXPECT_EQ(exchanges, 1) << "all wait for one exchange";

  now_s_ += 241;
  EXPECT_THAT(Get(OnLabelStudio(server, "/data/upload/1/x", Jwt("refresh"))), IsOk());
  EXPECT_EQ(exchanges, 2);
  revoke = true;
  EXPECT_THAT(Get(OnLabelStudio(server, "/data/upload/1/y", Jwt("refresh"))), IsOk());
  EXPECT_EQ(exchanges, 3);
}

TEST_F(ImageFetcherTest, ARefusedTokenIsSaidToBeSo) {
  TinyHttpServer server([](const TinyRequest& request) {
    if (request.target == "/data/login-page") {
      return TinyResponse{302, {"Location: /user/login/?next=/data/login-page"}, ""};
    }
    return TinyResponse{401, {}, ""};
  });
  EXPECT_THAT(Get(OnLabelStudio(server, "/data/upload/1/a", "")),
              StatusIs(Code::kUnauthenticated, HasSubstr("--label_studio_api_key")));
  EXPECT_THAT(Get(OnLabelStudio(server, "/data/upload/1/a", "0123456789abcdef")),
              StatusIs(Code::kUnauthenticated,
                       AllOf(HasSubstr("legacy token"), Not(HasSubstr("0123456789")))));
  EXPECT_THAT(Get(OnLabelStudio(server, "/data/upload/1/a", Jwt("refresh"))),
              StatusIs(Code::kUnauthenticated, HasSubstr("personal access token")));
  EXPECT_THAT(Get(OnLabelStudio(server, "/data/login-page", "k")),
              StatusIs(Code::kUnauthenticated));
}

TEST_F(ImageFetcherTest, LimitsOnBytesAndRedirectsHold) {
  options_.max_bytes = 1000;
  TinyHttpServer server([](const TinyRequest& request) {
    if (request.target == "/loop") return TinyResponse{302, {"Location: /loop"}, ""};
    if (request.target == "/chunks") return TinyResponse{200, {}, std::string(5000, 'x'), true};
    return TinyResponse{200, {}, std::string(5000, 'x')};
  });
  EXPECT_THAT(Get(server.url() + "/big"),
              StatusIs(Code::kInvalidArgument, HasSubstr("1000 bytes")));
  EXPECT_THAT(Get(server.url() + "/chunks"),
              StatusIs(Code::kInvalidArgument, HasSubstr("1000 bytes")));
  EXPECT_THAT(Get(server.url() + "/loop"),
              StatusIs(Code::kInvalidArgument, HasSubstr("more than 5 times")));
  EXPECT_THAT(Get("data:image/jpeg;base64," + absl::Base64Escape(std::string(2000, 'x'))),
              StatusIs(Code::kInvalidArgument, HasSubstr("1000 bytes")));
}

// What tasks point at in practice: its declared type says little, and its end may be missing.
TEST_F(ImageFetcherTest, WhatIsFetchedIsKnownByItsBytes) {
  const auto fixture = [](const std::string& name) {
    return duet_testing::ReadFile(DUET_TEST_DATA "/images/" + name);
  };
  const std::string jpeg = fixture("rgb.jpg");
  const std::vector<std::tuple<std::string, std::string, vision::Size>> images = {
      {"image/png", fixture("animated.gif"), {53, 37}},
      {"text/plain", fixture("small_frame.webp"), {70, 50}},
      {"application/octet-stream", jpeg.substr(0, jpeg.size() * 2 / 3), {53, 37}},
      {"image/gif", fixture("o6.jpg"), {48, 32}}};
  for (const auto& [type, bytes, size] : images) {
    const std::string uri = text::StrCat("data:", type, ";base64,", absl::Base64Escape(bytes));
    ASSERT_OK_AND_ASSIGN(const auto image, Get(uri));
    EXPECT_EQ(image->size, size);
    EXPECT_EQ(image->bytes, bytes);
  }
  EXPECT_THAT(
      Get("data:image/avif;base64," + absl::Base64Escape(std::string("\0\0\0 ftypavif", 12))),
      StatusIs(Code::kInvalidArgument, HasSubstr("an AVIF image")));
}

TEST_F(ImageFetcherTest, TheLimitOnPixelsHolds) {
  options_.max_pixels = 53 * 37 - 1;
  EXPECT_THAT(Get("data:image/gif;base64," + absl::Base64Escape(duet_testing::ReadFile(
                                                 DUET_TEST_DATA "/images/animated.gif"))),
              StatusIs(Code::kInvalidArgument, HasSubstr("53x37 pixels")));
}

TEST_F(ImageFetcherTest, DataUrisAreDecoded) {
  ASSERT_OK_AND_ASSIGN(const auto image,
                       Get("data:image/jpeg;base64," + absl::Base64Escape(Jpeg())));
  EXPECT_EQ(image->bytes, Jpeg());
  EXPECT_THAT(Get("data:image/png;base64,@@@"),
              StatusIs(Code::kInvalidArgument, HasSubstr("base64")));
}

TEST_F(ImageFetcherTest, LocalFilesStayBelowTheirRoot) {
  duet_testing::TempDir dir;
  dir.Write("root/imgs/a b.jpg", Jpeg());
  const std::string secret = dir.Write("secret.jpg", Jpeg());
  options_.local_files_root = dir.path() + "/root";
  ASSERT_EQ(symlink(secret.c_str(), (options_.local_files_root + "/link.jpg").c_str()), 0);
  ASSERT_EQ(symlink("imgs/a b.jpg", (options_.local_files_root + "/inside.jpg").c_str()), 0);

  EXPECT_THAT(Get("/data/local-files/?d=imgs/a%20b.jpg"), IsOk());
  EXPECT_THAT(Get("/data/local-files/?d=inside.jpg"), IsOk());
  for (const std::string path :
       {"../secret.jpg", "imgs/%2e%2e/%2e%2e/secret.jpg", "link.jpg", "..%2Fsecret.jpg"}) {
    EXPECT_THAT(Get("/data/local-files/?d=" + path),
                StatusIs(Code::kPermissionDenied, HasSubstr("--local_files_root")))
        << path;
  }
  EXPECT_THAT(Get("/data/local-files/?d=none.jpg"), StatusIs(Code::kNotFound));
  EXPECT_THAT(Get("/data/local-files/?d=imgs"), StatusIs(Code::kInvalidArgument));
  EXPECT_THAT(Get("/data/local-files/?d=%2Fetc%2Fpasswd"), StatusIs(Code::kNotFound));
}

// Answers only once the test lets it.
class Gate {
 public:
  void Open() { opened_.set_value(); }
  void Wait() { future_.wait(); }

 private:
  std::promise<void> opened_;
  std::shared_future<void> future_ = opened_.get_future().share();
};

TEST_F(ImageFetcherTest, OverlappingFetchesAreOneTransferAndEachCanBeCancelled) {
  Gate gate;
  TinyHttpServer server([&](const TinyRequest&) {
    gate.Wait();
    return TinyResponse{200, {}, Jpeg()};
  });
  Start();
  std::promise<ImageFetcher::Result> first, second;
  const auto id = fetcher_->Fetch({server.url() + "/a.jpg"}, [&](ImageFetcher::Result result) {
    first.set_value(std::move(result));
  });
  fetcher_->Fetch({server.url() + "/a.jpg"},
                  [&](ImageFetcher::Result result) { second.set_value(std::move(result)); });

  fetcher_->Cancel(id);
  EXPECT_THAT(first.get_future().get(), StatusIs(Code::kCancelled));
  gate.Open();
  EXPECT_THAT(second.get_future().get(), IsOk());
  EXPECT_EQ(server.requests(), 1);
}

TEST_F(ImageFetcherTest, ADeadlineEndsTheWait) {
  Gate gate;
  TinyHttpServer server([&](const TinyRequest&) {
    gate.Wait();
    return TinyResponse{200, {}, Jpeg()};
  });
  ImageRequest request{server.url() + "/slow.jpg"};
  request.deadline = absl::Now() + absl::Milliseconds(50);
  EXPECT_THAT(Get(request), StatusIs(Code::kDeadlineExceeded, HasSubstr("/slow.jpg")));
  gate.Open();
}

TEST_F(ImageFetcherTest, EndingTheFetcherEndsWhatRuns) {
  Gate gate;
  TinyHttpServer server([&](const TinyRequest&) {
    gate.Wait();
    return TinyResponse{200, {}, Jpeg()};
  });
  options_.max_concurrent = 1;  // the second is still queued
  Start();
  std::vector<std::promise<ImageFetcher::Result>> promises(2);
  for (std::size_t i = 0; i < 2; ++i) {
    fetcher_->Fetch({server.url() + "/" + std::to_string(i)},
                    [&promise = promises[i]](ImageFetcher::Result result) {
                      promise.set_value(std::move(result));
                    });
  }
  fetcher_.reset();
  for (auto& promise : promises) {
    EXPECT_THAT(promise.get_future().get(), StatusIs(Code::kCancelled));
  }
  gate.Open();
}

TEST_F(ImageFetcherTest, NoConnectionAndNoHostAreUnavailable) {
  int port = 0;
  {
    port = TinyHttpServer([](const TinyRequest&) { return TinyResponse{}; }).port();
  }
  EXPECT_THAT(Get("http://127.0.0.1:" + std::to_string(port) + "/a.jpg"),
              StatusIs(Code::kUnavailable, HasSubstr("/a.jpg")));
}

TEST_F(ImageFetcherTest, S3IsAskedWithASignatureOfOurOwn) {
  std::mutex mutex;
  TinyRequest seen;
  TinyHttpServer server([&](const TinyRequest& request) {
    const std::lock_guard lock(mutex);
    seen = request;
    return TinyResponse{200, {}, Jpeg()};
  });
  options_.s3 = {"AKID", "SECRET", "SESSION", "eu-west-1", server.url()};
  Start(/*allow_private=*/false);  // the endpoint is the operator's choice

  ASSERT_THAT(Get("s3://bucket/imgs/a b.jpg"), IsOk());

  EXPECT_EQ(seen.target, "/bucket/imgs/a%20b.jpg");
  EXPECT_THAT(
      seen.headers["authorization"],
      AllOf(HasSubstr("AWS4-HMAC-SHA256 Credential=AKID/"), HasSubstr("/eu-west-1/s3/aws4_request"),
            HasSubstr("SignedHeaders=host;x-amz-content-sha256;x-amz-date;"
                      "x-amz-security-token,"),
            Not(HasSubstr("SECRET"))));
  EXPECT_EQ(seen.headers["x-amz-content-sha256"],
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
      << "of no body: S3 insists on it";
  EXPECT_EQ(seen.headers["x-amz-security-token"], "SESSION");
}

TEST_F(ImageFetcherTest, ACoroutineAwaitsAndCancels) {
  Gate gate;
  TinyHttpServer server([&](const TinyRequest& request) {
    if (request.target == "/slow") gate.Wait();
    return TinyResponse{200, {}, Jpeg()};
  });
  Start();
  boost::asio::io_context context;
  ImageFetcher::Result quick = absl::UnknownError(""), slow = absl::UnknownError("");
  boost::asio::cancellation_signal signal;
  boost::asio::co_spawn(
      context,
      [&]() -> boost::asio::awaitable<void> {
        // Named: gcc 12 destroys some temporaries of a co_await expression twice.
        ImageRequest request{server.url() + "/quick"};
        auto fetching = AsyncFetch(*fetcher_, std::move(request));
        quick = co_await std::move(fetching);
        signal.emit(boost::asio::cancellation_type::terminal);
      },
      [](const std::exception_ptr& error) { EXPECT_EQ(error, nullptr); });
  boost::asio::co_spawn(
      context,
      [&]() -> boost::asio::awaitable<void> {
        co_await boost::asio::this_coro::throw_if_cancelled(false);
        ImageRequest request{server.url() + "/slow"};
        auto fetching = AsyncFetch(*fetcher_, std::move(request));
        slow = co_await std::move(fetching);
      },
      boost::asio::bind_cancellation_slot(
          signal.slot(), [](const std::exception_ptr& error) { EXPECT_EQ(error, nullptr); }));

  context.run();

  EXPECT_THAT(quick, IsOk());
  EXPECT_THAT(slow, StatusIs(Code::kCancelled));
  gate.Open();
}

TEST(ImageFetcherOptionsTest, BadOptionsAreRefused) {
  EXPECT_THAT(ImageFetcher::Create({.local_files_root = "/nonexistent/folder"}),
              StatusIs(Code::kInvalidArgument, HasSubstr("--local_files_root")));
  EXPECT_THAT(ImageFetcher::Create({.allowed_private = {"10.0.0.0/99"}}),
              StatusIs(Code::kInvalidArgument, HasSubstr("10.0.0.0/99")));
}

}  // namespace
}  // namespace image_fetch
