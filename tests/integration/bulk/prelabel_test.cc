// duet prelabel against services over real gRPC: outputs, resuming, refusals, waiting.
#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <atomic>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "bulk/journal.h"
#include "hash/fnv.h"
#include "tests/integration/bulk/command_test.h"
#include "tests/integration/gateway/fake_services.h"
#include "tests/integration/gateway/tiny_http_server.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/subprocess.h"
#include "tests/testing/temp_dir.h"

namespace bulk {
namespace {

namespace json = boost::json;
using bulk_testing::Gif;
using duet_testing::ReadFile;
using duet_testing::Subprocess;
using gateway::testing::FakeServices;
using ::testing::HasSubstr;
using ::testing::Not;

// Finds one cat at a place that follows from the image's bytes.
void FindCat(const duet::detector::v1::DetectRequest& request,
             duet::detector::v1::DetectResponse* response) {
  response->set_image_width(320);
  response->set_image_height(240);
  auto& detection = *response->add_detections();
  const auto at = static_cast<float>(hash::Fnv1a(request.image().data()) % 100);
  detection.mutable_box()->set_x_min(at);
  detection.mutable_box()->set_y_min(20);
  detection.mutable_box()->set_x_max(at + 50.25F);
  detection.mutable_box()->set_y_max(120);
  detection.set_score(0.75F);
  detection.set_label("cat");
}

class PrelabelTest : public bulk_testing::CommandTest {
 protected:
  PrelabelTest() {
    services_.on_detect = [this](grpc::ServerContext&, const auto& request, auto* response) {
      const int call = ++calls_;
      std::function<void(int)> on_call;
      {
        const std::lock_guard lock(on_call_mutex_);
        on_call = on_call_;
      }
      if (on_call) on_call(call);
      FindCat(request, response);
      return grpc::Status::OK;
    };
  }

  std::unique_ptr<Subprocess> Start(const std::vector<std::string>& sources, const std::string& out,
                                    const std::vector<std::string>& flags = {},
                                    const std::map<std::string, std::string>& environment = {}) {
    std::vector<std::string> command = {DUET_COMMAND, "prelabel"};
    command.insert(command.end(), sources.begin(), sources.end());
    command.push_back("--out=" + out);
    command.push_back("--detector=" + services_.address());
    command.insert(command.end(), flags.begin(), flags.end());
    return std::make_unique<Subprocess>(command, environment);
  }
  Ended Run(const std::vector<std::string>& sources, const std::string& out,
            const std::vector<std::string>& flags = {},
            const std::map<std::string, std::string>& environment = {}) {
    const auto process = Start(sources, out, flags, environment);
    return AwaitEnd(*process);
  }

  // Runs the command and kills it within the `call`-th call of the detector from now on.
  void RunAndKill(const std::string& source, const std::string& out, int call,
                  const std::vector<std::string>& flags = {}) {
    std::promise<pid_t> started;
    std::shared_future<pid_t> pid = started.get_future().share();
    const int first = calls_;
    OnCall([=](int number) {
      if (number - first == call) kill(pid.get(), SIGKILL);
    });
    const auto process = Start({source}, out, flags);
    started.set_value(process->pid());
    EXPECT_EQ(process->Wait(), -SIGKILL) << process->err();
    OnCall(nullptr);
  }

  std::atomic<int> calls_{0};
  // A command that was killed may have calls that are still answered.
  void OnCall(std::function<void(int call)> on_call) {
    const std::lock_guard lock(on_call_mutex_);
    on_call_ = std::move(on_call);
  }

  std::mutex on_call_mutex_;
  std::function<void(int call)> on_call_;
  FakeServices services_;
};

json::value ReadJson(const std::string& path) { return json::parse(ReadFile(path)); }

TEST_F(PrelabelTest, AFolderBecomesCoco) {
  const std::string images = Images(12);
  const std::string out = Out("found.json");

  const Ended ended = Run({images}, out);

  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("12 images, 12 objects"));
  const json::value coco = ReadJson(out);
  ASSERT_EQ(coco.at("images").as_array().size(), 12U);
  EXPECT_EQ(coco.at("images").at(0).at("file_name"), "0/0.gif");
  EXPECT_EQ(coco.at("images").at(11).at("file_name"), "1/11.gif");
  EXPECT_EQ(coco.at("categories").at(0),
            (json::value{{"id", 1}, {"name", "cat"}, {"supercategory", ""}}));
  const json::value& object = coco.at("annotations").at(3);
  EXPECT_EQ(object.at("image_id"), 4);
  EXPECT_EQ(object.at("bbox").at(2).as_double(), 50.25);
  EXPECT_EQ(object.at("score").as_double(), 0.75);
  EXPECT_EQ(object.at("bbox").at(0).to_number<double>(),
            static_cast<double>(hash::Fnv1a(Gif(3)) % 100));
}

TEST_F(PrelabelTest, NewCategoriesGetIdsThatNoneHas) {
  folder_.Write("0.gif", Gif(0));
  const auto ids = [&](const std::string& categories) {
    const std::string source =
        folder_.Write("source.json", R"({"images":[{"id":7,"file_name":"0.gif"}],"categories":[)" +
                                         categories + "]}");
    const std::string out = Out(absl::StrCat("found", ++calls_, ".json"));
    const Ended ended = Run({source}, out);
    EXPECT_EQ(ended.code, 0) << ended.err;
    std::vector<std::int64_t> ids;
    const json::value coco = ReadJson(out);
    for (const json::value& category : coco.at("categories").as_array()) {
      ids.push_back(category.at("id").as_int64());
    }
    return ids;  // of cat and dog
  };
  EXPECT_THAT(ids(R"({"id":5,"name":"dog"})"), ::testing::ElementsAre(6, 5));
  EXPECT_THAT(ids(R"({"id":9223372036854775807,"name":"dog"},{"id":1,"name":"x"})"),
              ::testing::ElementsAre(2, 9223372036854775807));
}

TEST_F(PrelabelTest, KilledRunsEndInTheSameBytes) {
  constexpr int kImages = 150;
  const std::string images = Images(kImages);
  const std::string whole = Out("whole.json");
  ASSERT_EQ(Run({images}, whole).code, 0);
  calls_ = 0;

  const std::string out = Out("killed.json");
  RunAndKill(images, out, 20);
  EXPECT_FALSE(std::filesystem::exists(out));
  RunAndKill(images, out, 70);
  const Ended ended = Run({images}, out);

  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(ReadFile(out), ReadFile(whole));
  // What was in flight when it was killed is asked again, and nothing else: 16 at a time, and what
  // waited for the oldest of them.
  EXPECT_LE(calls_, kImages + 2 * 64);
  EXPECT_THAT(ended.out, HasSubstr("were done before"));
  calls_ = 0;
  EXPECT_EQ(Run({images}, out).code, 0);
  EXPECT_EQ(calls_, 0);
}

TEST_F(PrelabelTest, TwoRunsOnOneOutputAreRefusedUntilTheFirstIsGone) {
  const std::string images = Images(3);
  const std::string out = Out("found.json");
  std::promise<void> asked;
  std::promise<void> release;
  std::shared_future<void> released = release.get_future().share();
  std::atomic<bool> first = true;
  OnCall([&](int) {
    if (first.exchange(false)) asked.set_value();
    released.wait();
  });
  const auto running = Start({images}, out);
  asked.get_future().wait();

  const Ended second = Run({images}, out);
  running->Signal(SIGKILL);
  running->Wait();
  release.set_value();
  const Ended third = Run({images}, out);

  EXPECT_EQ(second.code, 2);
  EXPECT_THAT(second.err,
              HasSubstr(absl::StrCat("process ", running->pid(), " is working on ", out)));
  EXPECT_EQ(third.code, 0) << third.err;
}

TEST_F(PrelabelTest, AnotherModelOrSettingOnTheSameOutputIsRefused) {
  const std::string images = Images(40);
  const std::string out = Out("found.json");
  RunAndKill(images, out, 3);

  const Ended other_setting = Run({images}, out, {"--score_threshold=0.25"});
  const Ended other_source = Run({images + "/1"}, out);
  services_.Serve("d2", "s1");
  const Ended other_model = Run({images}, out);

  EXPECT_EQ(other_setting.code, 2);
  EXPECT_THAT(other_setting.err, HasSubstr("score_threshold was 0.5 and is now 0.25"));
  EXPECT_EQ(other_source.code, 2);
  EXPECT_THAT(other_source.err, HasSubstr("the source was " + images + " and is now "));
  EXPECT_EQ(other_model.code, 2);
  EXPECT_THAT(other_model.err, HasSubstr("the detector's model was d1 and is now d2"));
  EXPECT_FALSE(std::filesystem::exists(out));
}

TEST_F(PrelabelTest, LargeImagesAreSlicedByTheDetector) {
  std::mutex mutex;
  std::vector<duet::detector::v1::Slicing> asked;
  services_.on_detect = [&](grpc::ServerContext&, const auto& request, auto* response) {
    const std::lock_guard lock(mutex);
    asked.push_back(request.slicing());
    FindCat(request, response);
    return grpc::Status::OK;
  };
  const std::string images = Images(1);

  ASSERT_EQ(Run({images}, Out("sliced.json"), {"--slice=1024", "--overlap=0.25"}).code, 0);
  ASSERT_EQ(
      Run({images}, Out("whole.json"), {"--slice=1024", "--settings={\"slice\": false}"}).code, 0);

  ASSERT_EQ(asked.size(), 2U);
  EXPECT_EQ(asked[0].tile_size(), 1024U);
  EXPECT_EQ(asked[0].overlap(), 256U);
  EXPECT_EQ(asked[1].tile_size(), 0U);
  const Ended changed = Run({images}, Out("sliced.json"), {"--slice=512", "--overlap=0.25"});
  EXPECT_EQ(changed.code, 2);
  EXPECT_THAT(changed.err, HasSubstr("slice was {\"tile\":1024"));
  EXPECT_THAT(Run({images}, Out("c.json"), {"--slice=9"}).err, HasSubstr("slice.tile is 9"));
  EXPECT_THAT(Run({images}, Out("c.json"), {"--overlap=0.5"}).err, HasSubstr("without --slice"));
}

TEST_F(PrelabelTest, WhatIsDamagedIsSaidAndTheRestIsDone) {
  const std::string images = Images(4);
  folder_.Write("images/broken.png", "no image");
  const std::string out = Out("found.json");

  const Ended ended = Run({images}, out);

  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.err, HasSubstr("broken.png: not a JPEG, PNG"));
  EXPECT_THAT(ended.err, HasSubstr("1 of 5 images failed; " + out + ".failures.jsonl lists them"));
  EXPECT_EQ(ReadJson(out).at("images").as_array().size(), 4U);
  const json::value failure = json::parse(ReadFile(out + ".failures.jsonl"));
  EXPECT_EQ(failure.at("image"), "broken.png");
  EXPECT_EQ(failure.at("kind"), "damaged");
}

TEST_F(PrelabelTest, WhatFailedIsTriedAgainWhenThatIsAskedFor) {
  const std::string images = Images(9);
  const auto number = [](int i) { return absl::StrCat("images/0/", i, "b.gif"); };
  for (int i = 0; i < 40; ++i) folder_.Write(number(i), "no image");
  const std::string out = Out("found.json");
  ASSERT_EQ(Run({images}, out).code, 1);
  for (int i = 0; i < 39; ++i) folder_.Write(number(i), Gif(100 + i));

  calls_ = 0;
  const Ended unasked = Run({images}, out);
  EXPECT_EQ(unasked.code, 1);
  EXPECT_EQ(calls_, 0);
  EXPECT_THAT(Run({images}, out, {"--plan", "--retry_failed"}).out, HasSubstr("9 done, 40 to do"));
  RunAndKill(images, out, 30, {"--retry_failed", "--in_flight=2"});
  EXPECT_EQ(ReadJson(out).at("images").as_array().size(), 9U);
  const Ended most = Run({images}, out, {"--retry_failed"});
  EXPECT_EQ(most.code, 1);
  EXPECT_THAT(most.err, HasSubstr("1 of 49 images failed"));
  EXPECT_THAT(most.out, HasSubstr("9 were done before"));
  EXPECT_LE(calls_, 39 + 2 * 8);  // in flight, and behind the oldest of them, when it was killed
  folder_.Write(number(39), Gif(139));
  const Ended last = Run({images}, out, {"--retry_failed"});

  EXPECT_EQ(last.code, 0) << last.err;
  EXPECT_FALSE(std::filesystem::exists(out + ".failures.jsonl"));
  ASSERT_EQ(Run({images}, Out("anew.json")).code, 0);
  EXPECT_EQ(ReadFile(out), ReadFile(Out("anew.json")));
  EXPECT_FALSE(std::filesystem::exists(out + ".journal/again"));
}

TEST_F(PrelabelTest, AnOutputThatCannotBeWrittenIsRefusedAtTheBeginning) {
  const std::string images = Images(2);
  std::filesystem::create_directory(Out("taken"));

  const Ended folder = Run({images}, Out("taken"));
  const Ended name = Run({images}, Out(std::string(243, 'x')));

  EXPECT_EQ(folder.code, 2);
  EXPECT_THAT(folder.err,
              HasSubstr("taken is a folder; needed: --out=a file, since --format=coco"));
  EXPECT_EQ(name.code, 2);
  EXPECT_THAT(name.err, HasSubstr("cannot create: File name too long"));
  EXPECT_EQ(calls_, 0);
  EXPECT_FALSE(std::filesystem::exists(Out("taken.journal")));
}

TEST_F(PrelabelTest, WithJsonEveryLineIsAnObject) {
  const std::string images = Images(4);
  folder_.Write("images/broken.png", "no \"image\"");

  const Ended ended = Run({images}, Out("a.json"), {"--json"});

  std::vector<std::string> events;
  std::istringstream lines(ended.out);
  for (std::string line; std::getline(lines, line);) {
    const json::value value = json::parse(line);
    events.emplace_back(value.at("event").as_string());
    if (events.back() == "done") {
      EXPECT_EQ(value.at("images"), 5);
      EXPECT_EQ(value.at("failed"), 1);
    }
  }
  EXPECT_THAT(events, ::testing::IsSupersetOf({"progress", "failed", "done"}));
  EXPECT_EQ(events.back(), "done");
  EXPECT_EQ(ended.code, 1);
}

TEST_F(PrelabelTest, APipeIsNotWaitedFor) {
  const std::string images = Images(2);
  ASSERT_EQ(mkfifo((images + "/pipe.png").c_str(), 0600), 0);

  const Ended ended = Run({images}, Out("found.json"));

  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.err, HasSubstr("pipe.png: is a pipe or a device; needed is a file"));
}

TEST_F(PrelabelTest, NothingThatCouldBeDoneIsExitCode2) {
  const std::string broken = folder_.Write("broken.png", "no image");
  std::filesystem::create_directory(Out("empty"));
  folder_.Write("taken.json", "mine");

  const Ended all_failed = Run({broken}, Out("a.json"));
  const Ended empty = Run({Out("empty")}, Out("b.json"));
  const Ended taken = Run({Images(1)}, Out("taken.json"));
  const Ended no_source = Run({}, Out("c.json"));

  EXPECT_EQ(all_failed.code, 2);
  EXPECT_EQ(empty.code, 2);
  EXPECT_THAT(empty.err, HasSubstr("empty: no image in it"));
  EXPECT_FALSE(std::filesystem::exists(Out("b.json.journal")));
  EXPECT_EQ(taken.code, 2);
  EXPECT_THAT(taken.err, HasSubstr("taken.json is there already"));
  EXPECT_EQ(ReadFile(Out("taken.json")), "mine");
  EXPECT_EQ(no_source.code, 2);
  EXPECT_THAT(no_source.err, HasSubstr("no SOURCE"));
}

TEST_F(PrelabelTest, TooManyFailuresStopIt) {
  for (int i = 0; i < 30; ++i) folder_.Write(absl::StrCat("images/", i, ".png"), "no image");
  const Ended ended = Run({folder_.path() + "/images"}, Out("a.json"), {"--max_failures=3"});
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.err, HasSubstr("more than 3 images failed"));
  EXPECT_FALSE(std::filesystem::exists(Out("a.json")));
}

TEST_F(PrelabelTest, AServiceThatIsAwayIsWaitedForAndSaid) {
  const std::string images = Images(60);
  std::atomic<bool> away = false;
  std::mutex mutex;
  std::map<std::string, int> refused;  // how often
  std::promise<void> gone;
  services_.on_detect = [&](grpc::ServerContext&, const auto& request, auto* response) {
    if (++calls_ == 20) {
      away = true;
      gone.set_value();
    }
    // No image is refused so often that it is given up, however late the test hears of it.
    const std::lock_guard lock(mutex);
    if (away && ++refused[request.image().data()] <= 6) {
      return grpc::Status(grpc::StatusCode::UNAVAILABLE, "restarting");
    }
    FindCat(request, response);
    return grpc::Status::OK;
  };
  const auto running = Start({images}, Out("a.json"));
  gone.get_future().wait();
  const auto waits = running->WaitForLine("waiting: ");
  away = false;

  EXPECT_EQ(running->Wait(), 0) << running->err();
  EXPECT_THAT(waits, duet_testing::IsOk());
  EXPECT_THAT(running->err(), HasSubstr("goes on after "));
  EXPECT_EQ(ReadJson(Out("a.json")).at("images").as_array().size(), 60U);
}

TEST_F(PrelabelTest, AFolderThatVanishesIsWaitedFor) {
  const std::string images = Images(20);
  const std::string hidden = folder_.path() + "/hidden";
  std::atomic<bool> moved = false;
  OnCall([&](int) {
    if (!moved.exchange(true)) std::filesystem::rename(images, hidden);
  });
  const auto running = Start({images}, Out("a.json"), {"--in_flight=2"});
  const auto waits = running->WaitForLine("waiting: the folder ");
  std::filesystem::rename(hidden, images);

  EXPECT_EQ(running->Wait(), 0) << running->err();
  EXPECT_THAT(waits, duet_testing::IsOk());
  EXPECT_EQ(ReadJson(Out("a.json")).at("images").as_array().size(), 20U);
}

// As a list of absolute paths to a disk has it; the folder that it is mounted at stays.
TEST_F(PrelabelTest, ADiskThatAListNamesIsWaitedFor) {
  const std::string images = Images(9);
  const std::string hidden = folder_.path() + "/hidden";
  std::string list;
  for (int i = 0; i < 9; ++i) absl::StrAppend(&list, images, "/0/", i, ".gif\n");
  std::atomic<bool> moved = false;
  OnCall([&](int) {
    if (moved.exchange(true)) return;
    std::filesystem::rename(images, hidden);
    std::filesystem::create_directory(images);
  });
  const auto running = Start({folder_.Write("list.txt", list)}, Out("a.json"), {"--in_flight=1"});
  const auto waits = running->WaitForLine("waiting: the folder " + images + " has vanished");
  std::filesystem::remove(images);
  std::filesystem::rename(hidden, images);

  EXPECT_EQ(running->Wait(), 0) << running->err();
  EXPECT_THAT(waits, duet_testing::IsOk());
  EXPECT_EQ(ReadJson(Out("a.json")).at("images").as_array().size(), 9U);
}

// A bucket of so many images, which refuses what `refuse` has a code for.
class Bucket {
 public:
  explicit Bucket(int images)
      : images_(images), server_([this](const auto& request) { return Answer(request); }) {}

  std::map<std::string, std::string> Environment() const {
    return {{"AWS_ENDPOINT_URL", server_.url()},
            {"AWS_ACCESS_KEY_ID", "any"},
            {"AWS_SECRET_ACCESS_KEY", "any"}};
  }
  // The error of the call of this number from now on, if it isn't empty: status and code.
  std::function<std::pair<int, std::string_view>(int call)> refuse = [](int) {
    return std::pair(0, "");
  };
  std::string end_of_list;  // XML behind the objects of each list

 private:
  duet_testing::TinyResponse Answer(const duet_testing::TinyRequest& request) {
    if (const auto [status, code] = refuse(++calls_); status != 0) {
      return {.status = status, .body = "<Error><Code>" + std::string(code) + "</Code></Error>"};
    }
    if (request.target.find("list-type=2") == std::string::npos) {
      return {.body = Gif(std::stoi(request.target.substr(request.target.rfind('/') + 1)))};
    }
    std::string list = "<ListBucketResult>";
    for (int i = 0; i < images_; ++i) {
      absl::StrAppend(&list, "<Contents><Key>", i, ".gif</Key></Contents>");
    }
    return {.body = list + end_of_list + "</ListBucketResult>"};
  }

  const int images_;
  std::atomic<int> calls_ = 0;
  duet_testing::TinyHttpServer server_;
};

TEST_F(PrelabelTest, KeysThatExpireEndTheRunWhichGoesOnWithOthers) {
  Bucket bucket(20);
  std::atomic<bool> expired = false;
  bucket.refuse = [&](int) { return expired ? std::pair(400, "ExpiredToken") : std::pair(0, ""); };
  OnCall([&](int call) { expired = expired || call == 5; });

  const Ended ended =
      Run({"s3://pictures/"}, Out("a.json"), {"--in_flight=2"}, bucket.Environment());
  OnCall(nullptr);
  expired = false;
  const Ended resumed = Run({"s3://pictures/"}, Out("a.json"), {}, bucket.Environment());

  EXPECT_EQ(ended.code, 2);
  EXPECT_THAT(ended.err, HasSubstr("the storage refuses the keys: ExpiredToken; needed: "));
  EXPECT_THAT(ended.err, Not(HasSubstr("failed")));
  EXPECT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_EQ(ReadJson(Out("a.json")).at("images").as_array().size(), 20U);
}

TEST_F(PrelabelTest, ABucketsListIsAskedForAgain) {
  Bucket bucket(3);
  bucket.refuse = [](int call) {
    return call == 1 ? std::pair(503, "SlowDown") : std::pair(0, "");
  };

  const Ended ended = Run({"s3://pictures/"}, Out("a.json"), {}, bucket.Environment());

  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.err, HasSubstr("waiting: s3://pictures/: the storage answered 503"));
  EXPECT_THAT(ended.err, HasSubstr("goes on after "));
}

// With status 400, which else is for what will never do.
TEST_F(PrelabelTest, AStorageThatHasWaitedTooLongIsAskedAgain) {
  Bucket bucket(3);
  bucket.refuse = [](int call) {
    return call == 1 ? std::pair(400, "RequestTimeout") : std::pair(0, "");
  };

  const Ended ended = Run({"s3://pictures/"}, Out("a.json"), {}, bucket.Environment());

  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.err, HasSubstr("waiting: s3://pictures/: the storage answered RequestTimeout"));
}

// As a store does that knows the older ListObjects alone: a thousand objects, and no token.
TEST_F(PrelabelTest, APartOfABucketIsNotTakenForAllOfIt) {
  Bucket bucket(3);
  for (const char* end : {"<IsTruncated>true</IsTruncated>",
                          "<IsTruncated>true</IsTruncated><NextContinuationToken>same"
                          "</NextContinuationToken>"}) {
    bucket.end_of_list = end;
    const Ended ended = Run({"s3://pictures/"}, Out("a.json"), {}, bucket.Environment());

    EXPECT_EQ(ended.code, 2);
    EXPECT_THAT(ended.err, HasSubstr("s3://pictures/: the storage has more objects than it lists"));
  }
  EXPECT_EQ(calls_, 0);
  EXPECT_FALSE(std::filesystem::exists(Out("a.json.journal")));
}

class ShardCommandTest : public PrelabelTest {
 protected:
  static std::vector<std::string> Names(const std::string& folder) {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      names.push_back(entry.path().filename().native());
    }
    return names;
  }
  std::string Manifest(const std::string& images) {
    const std::string path = folder_.path() + "/all.manifest";
    const Ended listed = Run({images}, "", {"--manifest=" + path});
    EXPECT_EQ(listed.code, 0) << listed.err;
    return path;
  }
};

TEST_F(ShardCommandTest, AResultStaysHoweverTheFolderOfTheWorkIsSpelled) {
  const std::string manifest = Manifest(Images(8));

  const Ended ended =
      Run({manifest}, Out("results"), {"--shard=0/2", "--work=" + Out("./results/")});

  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(Names(Out("results")), ::testing::ElementsAre("00000-of-00002.shard"));
}

TEST_F(ShardCommandTest, LeavesNothingButItsResult) {
  const std::string images = Images(8);
  folder_.Write("images/0/0.gif", "no image");
  const std::string manifest = Manifest(images);

  const Ended ended = Run({manifest}, Out("results"), {"--shard=0/2", "--work=" + Out("work")});

  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(Names(Out("results")), ::testing::ElementsAre("00000-of-00002.shard"));
  EXPECT_THAT(Names(Out("work")), ::testing::IsEmpty());
}

// As a Pod does that comes after one that was killed when the result was there.
TEST_F(ShardCommandTest, WhoeverFindsTheResultTidiesUp) {
  const std::string manifest = Manifest(Images(8));
  RunAndKill(manifest, Out("results"), 3, {"--shard=0/2", "--work=" + Out("work")});
  ASSERT_EQ(Run({manifest}, Out("results"), {"--shard=0/2"}).code, 0);
  EXPECT_THAT(Names(Out("work")), ::testing::Not(::testing::IsEmpty()));

  const Ended ended = Run({manifest}, Out("results"), {"--shard=0/2", "--work=" + Out("work")});

  EXPECT_THAT(ended.out, HasSubstr("4 were done before"));
  EXPECT_THAT(Names(Out("work")), ::testing::IsEmpty());
  EXPECT_THAT(Names(Out("results")), ::testing::ElementsAre("00000-of-00002.shard"));
}

TEST_F(ShardCommandTest, ItsPlanIsItsOwn) {
  const std::string manifest = Manifest(Images(40));
  const std::string results = Out("results");
  const auto plan = [&] { return Run({manifest}, results, {"--shard=1/2", "--plan"}).out; };

  EXPECT_THAT(plan(), HasSubstr("00001-of-00002.shard: 19 images, 0 done, 19 to do"));
  RunAndKill(manifest, results, 12, {"--shard=1/2", "--in_flight=1"});
  const std::string meanwhile = plan();
  EXPECT_THAT(meanwhile, ::testing::ContainsRegex(": 19 images, [1-9][0-9]* done, "));
  const std::string rest = meanwhile.substr(meanwhile.find("images, ") + 8);
  const Ended ended = Run({manifest}, results, {"--shard=1/2"});
  EXPECT_THAT(ended.out, HasSubstr("; " + rest.substr(0, rest.find(' ')) + " were done before"));
  EXPECT_THAT(plan(), HasSubstr(": 19 images, 19 done, 0 to do"));
}

TEST_F(ShardCommandTest, KeysThatAreRefusedAreSomebodysBusiness) {
  Bucket bucket(3);
  const auto run = [&](const char* code) {
    bucket.refuse = [code](int) { return std::pair(403, code); };
    return Run({"s3://pictures/all.manifest"}, Out("results"), {"--shard=0/1"},
               bucket.Environment());
  };
  const Ended keys = run("InvalidAccessKeyId");
  const Ended clock = run("RequestTimeTooSkewed");

  EXPECT_EQ(keys.code, 2);
  EXPECT_THAT(keys.err, HasSubstr("the storage refuses the keys: InvalidAccessKeyId"));
  EXPECT_EQ(clock.code, 2);
  EXPECT_THAT(clock.err, HasSubstr("RequestTimeTooSkewed; needed: the right time"));
}

// Then no other image tells whether the source is back.
TEST_F(PrelabelTest, AFolderThatIsAwayFromTheBeginningIsWaitedFor) {
  const std::string images = Images(3);
  const std::string hidden = folder_.path() + "/hidden";
  RunAndKill(images, Out("a.json"), 1);
  std::filesystem::rename(images, hidden);
  const auto running = Start({images}, Out("a.json"), {"--in_flight=1", "--patience_s=60"});
  const auto waits = running->WaitForLine("waiting: the folder ");
  std::filesystem::rename(hidden, images);

  EXPECT_EQ(running->Wait(), 0) << running->err();
  EXPECT_THAT(waits, duet_testing::IsOk());
  EXPECT_THAT(running->err(), HasSubstr("goes on after "));
  EXPECT_EQ(ReadJson(Out("a.json")).at("images").as_array().size(), 3U);
}

// Bad images end the service, and what is in flight with it: here a call of one of them fails if
// another one's comes while it waits. Alone, each would be answered.
TEST_F(PrelabelTest, ImagesThatFailTogetherAreTriedOneByOne) {
  constexpr int kBad = 4;
  const std::string images = Images(kBad + 20);
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::string, int> asked;
  bool* waiting = nullptr;
  services_.on_detect = [&](grpc::ServerContext&, const auto& request, auto* response) {
    const std::string& image = request.image().data();
    const grpc::Status ended(grpc::StatusCode::UNAVAILABLE, "ended by an image");
    for (int bad = 0; bad < kBad; ++bad) {
      if (image != Gif(bad)) continue;
      std::unique_lock lock(mutex);
      if (++asked[image] < 5) return ended;  // until it is known whether the service is away
      if (waiting != nullptr) {
        *waiting = true;
        changed.notify_all();
        return ended;
      }
      bool met = false;
      waiting = &met;
      changed.wait_for(lock, std::chrono::seconds(1), [&] { return met; });
      waiting = nullptr;
      if (met) return ended;
    }
    FindCat(request, response);
    return grpc::Status::OK;
  };

  const Ended ended = Run({images}, Out("a.json"));

  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(ReadJson(Out("a.json")).at("images").as_array().size(), kBad + 20U);
}

// A file system of 256 KiB; only root may have one.
class SmallDisk {
 public:
  explicit SmallDisk(const std::string& path) : path_(path) {
    std::filesystem::create_directory(path);
    mounted_ = mount("tmpfs", path.c_str(), "tmpfs", 0, "size=256k") == 0;
  }
  ~SmallDisk() {
    if (mounted_) umount2(path_.c_str(), MNT_DETACH);
  }
  bool mounted() const { return mounted_; }
  void Fill() const {
    std::ofstream filler(path_ + "/filler", std::ios::binary);
    for (int i = 0; i < 512 && filler; ++i) filler << std::string(1024, 'x') << std::flush;
  }
  void Empty() const { std::filesystem::remove(path_ + "/filler"); }

 private:
  const std::string path_;
  bool mounted_ = false;
};

TEST_F(PrelabelTest, AFolderCannotTakeThePlaceOfADisk) {
  const SmallDisk disk(folder_.path() + "/disk");
  if (!disk.mounted()) GTEST_SKIP() << "may not mount a file system";
  const Ended ended = Run({Images(1)}, folder_.path() + "/disk", {"--format=yolo"});
  EXPECT_EQ(ended.code, 2);
  EXPECT_THAT(ended.err, HasSubstr("disk is a disk of its own"));
}

TEST_F(PrelabelTest, AFullDiskIsWaitedFor) {
  const SmallDisk disk(folder_.path() + "/disk");
  if (!disk.mounted()) GTEST_SKIP() << "may not mount a file system";
  const std::string images = Images(400);
  std::atomic<bool> filled = false;
  OnCall([&](int call) {
    if (call == 20 && !filled.exchange(true)) disk.Fill();
  });
  const std::string out = folder_.path() + "/disk/a.json";
  const auto running = Start({images}, out);
  const auto waits = running->WaitForLine("the disk is full");
  disk.Empty();

  EXPECT_EQ(running->Wait(), 0) << running->err();
  EXPECT_THAT(waits, duet_testing::IsOk());
  EXPECT_THAT(running->err(), HasSubstr("goes on after "));
  EXPECT_EQ(ReadJson(out).at("images").as_array().size(), 400U);
}

TEST_F(PrelabelTest, ASignalStopsItAndTheSameCommandGoesOn) {
  const std::string images = Images(60);
  std::promise<pid_t> started;
  auto pid = started.get_future().share();
  std::atomic<bool> stopped = false;
  OnCall([&, pid](int call) {
    if (call == 20 && !stopped.exchange(true)) kill(pid.get(), SIGINT);
  });
  const auto running = Start({images}, Out("a.json"), {"--in_flight=2"});
  started.set_value(running->pid());
  EXPECT_EQ(running->Wait(), 1);
  EXPECT_THAT(running->err(), HasSubstr("stopped by a signal"));
  EXPECT_FALSE(std::filesystem::exists(Out("a.json")));

  const Ended ended = Run({images}, Out("a.json"));
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("were done before"));
}

// DUET_BULK_KILLS=20 kills so often, at calls that a seed chooses.
TEST_F(PrelabelTest, AnyNumberOfKillsLosesAndDoublesNothing) {
  const char* const wanted = std::getenv("DUET_BULK_KILLS");
  if (wanted == nullptr) GTEST_SKIP() << "DUET_BULK_KILLS is not set";
  const int kills = std::atoi(wanted);
  constexpr int kImages = 4000;
  const std::string images = Images(kImages);
  ASSERT_EQ(Run({images}, Out("whole.json")).code, 0);
  std::mt19937 random(1);
  const int first = calls_;
  for (int i = 0; i < kills; ++i) {
    RunAndKill(images, Out("killed.json"),
               std::uniform_int_distribution<>(1, kImages / kills)(random));
  }
  const Ended ended = Run({images}, Out("killed.json"));
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(ReadFile(Out("killed.json")), ReadFile(Out("whole.json")));
  std::cout << kills << " kills: " << calls_ - first - kImages << " of " << kImages
            << " images were done again\n";
}

TEST_F(PrelabelTest, AnImageThatAlwaysFailsIsGivenUpWhileTheServiceAnswers) {
  const std::string images = Images(60);
  services_.on_detect = [&](grpc::ServerContext&, const auto& request, auto* response) {
    if (request.image().data() == Gif(7)) {
      return grpc::Status(grpc::StatusCode::UNAVAILABLE, "crashes at this image");
    }
    FindCat(request, response);
    return grpc::Status::OK;
  };
  const Ended ended = Run({images}, Out("a.json"));
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.err, HasSubstr("1 of 60 images failed"));
  const json::value failure = json::parse(ReadFile(Out("a.json.failures.jsonl")));
  EXPECT_EQ(failure.at("image"), "0/7.gif");
  EXPECT_EQ(failure.at("kind"), "unavailable");
}

TEST_F(PrelabelTest, AModelThatIsReplacedMeanwhileEndsTheRun) {
  const std::string images = Images(200);
  OnCall([this](int call) {
    if (call == 20) services_.Serve("d2", "s1");
  });
  const Ended ended = Run({images}, Out("a.json"));
  EXPECT_EQ(ended.code, 2);
  EXPECT_THAT(ended.err,
              HasSubstr("the detector serves the model d2 now, and this run was begun with d1"));
}

TEST_F(PrelabelTest, TasksForLabelStudioHaveThePredictionsOfTheGateway) {
  const std::string images = Images(2);
  const std::string config = folder_.Write(
      "config.xml",
      R"(<View><Image name="img" value="$photo"/><RectangleLabels name="box" toName="img">)"
      R"(<Label value="Cat"/></RectangleLabels></View>)");
  const std::string out = Out("tasks.json");

  const Ended ended = Run({images}, out,
                          {"--format=label-studio", "--label_config=" + config,
                           "--image_prefix=/data/local-files/?d=in/"});

  ASSERT_EQ(ended.code, 0) << ended.err;
  const json::value tasks = ReadJson(out);
  ASSERT_EQ(tasks.as_array().size(), 2U);
  EXPECT_EQ(tasks.at(0).at("data").at("photo"), "/data/local-files/?d=in/0/0.gif");
  const json::value& prediction = tasks.at(1).at("predictions").at(0);
  EXPECT_EQ(prediction.at("score").as_double(), 0.75);
  EXPECT_EQ(prediction.at("result").at(0).at("value").at("rectanglelabels").at(0), "Cat");
  EXPECT_THAT(std::string(prediction.at("model_version").as_string()),
              ::testing::StartsWith("d1+"));
}

TEST_F(PrelabelTest, MasksAreTheSegmentersInTheBoxes) {
  const std::string out = Out("masks.json");
  const Ended ended = Run({Images(3)}, out, {"--masks=rle", "--segmenter=" + services_.address()});
  ASSERT_EQ(ended.code, 0) << ended.err;
  const json::value coco = ReadJson(out);
  EXPECT_EQ(coco.at("annotations").at(0).at("segmentation").at("size").at(0), 240);
  EXPECT_EQ(services_.count("Embed"), 3);

  const Ended none = Run({Images(3)}, Out("none.json"), {"--masks=rle"});
  EXPECT_EQ(none.code, 2);
  EXPECT_THAT(none.err, HasSubstr("needed: --segmenter=host:port"));
}

TEST_F(PrelabelTest, AnotherFormatOfTheSameResultsAsksNothing) {
  const std::string images = Images(5);
  const std::string out = Out("found");
  const std::string config = folder_.Write(
      "config.xml",
      R"(<View><Image name="img" value="$photo"/><RectangleLabels name="box" toName="img">)"
      R"(<Label value="cat"/></RectangleLabels></View>)");
  const std::string masks = folder_.Write(
      "masks.xml",
      R"(<View><Image name="img" value="$photo"/><BrushLabels name="brush" toName="img">)"
      R"(<Label value="cat"/></BrushLabels></View>)");
  ASSERT_EQ(Run({images}, out).code, 0);

  calls_ = 0;
  const Ended tasks = Run({images}, out, {"--format=label-studio", "--label_config=" + config});
  const Ended lacking = Run({images}, out, {"--format=label-studio", "--label_config=" + masks});

  EXPECT_EQ(tasks.code, 0) << tasks.err;
  EXPECT_EQ(calls_, 0);
  EXPECT_EQ(ReadJson(out).as_array().size(), 5U);
  EXPECT_EQ(lacking.code, 2);
  EXPECT_THAT(lacking.err, HasSubstr("segmenter"));
}

TEST_F(PrelabelTest, FormatsOfOneFileAnImage) {
  folder_.Write("images/x/a.gif", Gif(0));
  folder_.Write("images/x/a.png", Gif(1));  // a GIF, whatever its name says
  services_.classes = {"traffic light", "cat"};
  services_.on_detect = [](grpc::ServerContext&, const auto&, auto* response) {
    response->set_image_width(320);
    response->set_image_height(240);
    auto& detection = *response->add_detections();
    detection.mutable_box()->set_x_min(20);
    detection.mutable_box()->set_y_min(10);
    detection.mutable_box()->set_x_max(60);
    detection.mutable_box()->set_y_max(50);
    detection.set_score(0.75F);
    detection.set_label("traffic light");
    return grpc::Status::OK;
  };
  const std::string images = folder_.path() + "/images";
  const std::string out = Out("found");
  const std::vector<std::string> masks = {"--masks=polygons", "--segmenter=" + services_.address()};
  const auto with_masks = [&](const std::string& format) {
    std::vector<std::string> flags = masks;
    flags.push_back("--format=" + format);
    return flags;
  };

  const Ended yolo = Run({images}, out, {"--format=yolo"});
  ASSERT_EQ(yolo.code, 0) << yolo.err;
  EXPECT_EQ(ReadFile(out + "/labels/x/a.txt"), "0 0.125 0.125 0.125 0.166667\n");
  EXPECT_EQ(ReadFile(out + "/labels/x/a.1.txt"), "0 0.125 0.125 0.125 0.166667\n");
  EXPECT_THAT(yolo.err, HasSubstr("names differ in their endings alone"));
  EXPECT_EQ(ReadFile(out + "/classes.txt"), "traffic light\ncat\n");
  EXPECT_EQ(ReadFile(out + "/data.yaml"),
            "train: images\nval: images\nnames:\n  0: \"traffic light\"\n  1: \"cat\"\n");

  const Ended voc = Run({images}, out, {"--format=voc"});
  ASSERT_EQ(voc.code, 0) << voc.err;
  EXPECT_FALSE(std::filesystem::exists(out + "/labels"));
  EXPECT_THAT(ReadFile(out + "/Annotations/x/a.xml"),
              HasSubstr("<bndbox><xmin>21</xmin><ymin>11</ymin><xmax>60</xmax><ymax>50</ymax>"));

  ASSERT_EQ(Run({images}, out, {"--format=dota"}).code, 0);
  EXPECT_EQ(ReadFile(out + "/labelTxt/x/a.txt"),
            "20.0 10.0 60.0 10.0 60.0 50.0 20.0 50.0 traffic-light 0\n");

  const std::string masked = Out("masked");
  const Ended outlines = Run({images}, masked, with_masks("yolo"));
  ASSERT_EQ(outlines.code, 0) << outlines.err;
  EXPECT_EQ(ReadFile(masked + "/labels/x/a.txt"),
            "0 0.0625 0.0416667 0.1875 0.0416667 0.1875 0.208333 0.0625 0.208333\n");

  const Ended png = Run({images}, masked, with_masks("png"));
  ASSERT_EQ(png.code, 0) << png.err;
  const cv::Mat classes = cv::imread(masked + "/classes/x/a.png", cv::IMREAD_UNCHANGED);
  ASSERT_EQ(classes.size(), cv::Size(320, 240));
  EXPECT_EQ(classes.type(), CV_8UC1);
  EXPECT_EQ(cv::countNonZero(classes), 40 * 40);
  EXPECT_EQ(classes.at<unsigned char>(10, 20), 1);
  const cv::Mat instances = cv::imread(masked + "/instances/x/a.png", cv::IMREAD_UNCHANGED);
  EXPECT_EQ(instances.type(), CV_16UC1);
  EXPECT_EQ(cv::countNonZero(instances), 40 * 40);
}

TEST_F(PrelabelTest, EveryImageHasAFileOfItsOwnWhateverItsName) {
  duet_testing::TinyHttpServer server(
      [](const auto&) { return duet_testing::TinyResponse{.body = Gif(0)}; });
  folder_.Write("a.2.gif", Gif(1));
  folder_.Write("a.gif", Gif(2));
  folder_.Write("a.png", Gif(3));
  // A token in an address, longer than a file's name may be; and one longer than a path.
  const std::string token = server.url() + "/" + std::string(300, 't');
  std::string deep = server.url();
  for (int i = 0; i < 50; ++i) deep += "/" + std::string(100, 'd');
  const std::string list = folder_.Write(
      "list.txt", "a.2.gif\na.gif\na.png\n" + token + "1/x.gif\n" + token + "2/x.gif\n" + token +
                      "1.gif\n" + deep + "/x.gif\n" + deep + "/y.gif\n");

  const Ended ended = Run({list}, Out("found"), {"--format=yolo", "--images=" + folder_.path()});

  ASSERT_EQ(ended.code, 0) << ended.err;
  std::vector<std::string> files;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(Out("found") + "/labels")) {
    if (entry.is_regular_file()) files.push_back(entry.path().filename().native());
  }
  EXPECT_EQ(files.size(), 8U);
  EXPECT_THAT(files, ::testing::IsSupersetOf({"a.txt", "a.2.txt", "a.2-1.txt"}));
}

TEST_F(PrelabelTest, AMaskOfAnotherSizeIsOneImagesFailure) {
  services_.on_detect = [](grpc::ServerContext&, const auto& request, auto* response) {
    FindCat(request, response);
    // The segmenter answers for 320 x 240.
    if (request.image().data() == Gif(1)) response->set_image_width(321);
    return grpc::Status::OK;
  };
  const Ended ended =
      Run({Images(3)}, Out("a.json"), {"--masks=rle", "--segmenter=" + services_.address()});
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.err, HasSubstr("0/1.gif: a mask of 320 x 240 pixels"));
  EXPECT_EQ(ReadJson(Out("a.json")).at("images").as_array().size(), 2U);
}

TEST_F(PrelabelTest, DotaAndYoloHaveTheCornersOfTurnedBoxes) {
  services_.on_detect = [](grpc::ServerContext&, const auto&, auto* response) {
    response->set_image_width(200);
    response->set_image_height(100);
    auto& detection = *response->add_detections();
    detection.mutable_box()->set_x_max(100);
    detection.mutable_box()->set_y_max(100);
    detection.set_score(0.75F);
    detection.set_label("cat");
    // A quarter turn clockwise: what was the top left corner is the top right one.
    detection.mutable_rotated_box()->set_center_x(100);
    detection.mutable_rotated_box()->set_center_y(50);
    detection.mutable_rotated_box()->set_width(40);
    detection.mutable_rotated_box()->set_height(20);
    detection.mutable_rotated_box()->set_angle(1.57079637F);
    return grpc::Status::OK;
  };
  const std::string out = Out("found");
  ASSERT_EQ(Run({Images(1)}, out, {"--format=dota"}).code, 0);
  EXPECT_EQ(ReadFile(out + "/labelTxt/0/0.txt"),
            "110.0 30.0 110.0 70.0 90.0 70.0 90.0 30.0 cat 0\n");
  ASSERT_EQ(Run({Images(1)}, out, {"--format=yolo"}).code, 0);
  EXPECT_EQ(ReadFile(out + "/labels/0/0.txt"), "0 0.55 0.3 0.55 0.7 0.45 0.7 0.45 0.3\n");
  const Ended voc = Run({Images(1)}, out, {"--format=voc"});
  EXPECT_THAT(voc.err, HasSubstr("turned boxes, of which the upright box"));
}

// What resuming costs follows from what is left. DUET_BULK_IMAGES=10000000 measures it.
TEST_F(PrelabelTest, AResumeDoesOnlyWhatIsLeft) {
  const char* const wanted = std::getenv("DUET_BULK_IMAGES");
  const std::uint64_t images = wanted == nullptr ? 20'000 : std::strtoull(wanted, nullptr, 10);
  const std::uint64_t left = std::min<std::uint64_t>(1000, images / 100);
  folder_.Write("a.gif", Gif(1));
  {
    std::ofstream list(Out("list.txt"));
    for (std::uint64_t i = 0; i < images; ++i) list << "a.gif\n";
  }
  const std::string out = Out("many.json");
  const std::vector<std::string> flags = {"--images=" + folder_.path()};
  std::promise<pid_t> started;
  auto pid = started.get_future().share();
  OnCall([=](int) { kill(pid.get(), SIGKILL); });
  {
    const auto process = Start({Out("list.txt")}, out, flags);
    started.set_value(process->pid());
    process->Wait();
  }
  OnCall(nullptr);
  {
    const std::string run = out + ".journal";
    ASSERT_OK_AND_ASSIGN(Journal journal, Journal::Open(run, run + "/manifest"));
    ASSERT_OK_AND_ASSIGN(ManifestReader items,
                         ManifestReader::Open(run + "/manifest", journal.place()));
    duet::bulk::v1::Record record;
    record.mutable_found()->set_width(320);
    record.mutable_found()->set_height(240);
    auto& object = *record.mutable_found()->add_objects();
    object.set_score(0.5);
    for (const float at : {10.F, 20.F, 30.F, 40.F}) object.add_box(at);
    while (journal.place().index < images - left) {
      record.set_index(journal.place().index);
      ASSERT_THAT(items.Next(), duet_testing::IsOk());
      ASSERT_THAT(journal.Append(record, items.place()), duet_testing::IsOk());
    }
    ASSERT_THAT(journal.Sync(), duet_testing::IsOk());
  }
  calls_ = 0;
  const auto begun = std::chrono::steady_clock::now();
  const Ended ended = Run({Out("list.txt")}, out, flags);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begun;

  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(static_cast<std::uint64_t>(calls_), left);
  EXPECT_THAT(ended.out, HasSubstr(absl::StrCat(images, " images, ", images, " objects")));
  rusage usage = {};
  getrusage(RUSAGE_CHILDREN, &usage);
  RecordProperty("seconds", absl::StrCat(seconds.count()));
  RecordProperty("largest_child_kb", absl::StrCat(usage.ru_maxrss));
  if (wanted != nullptr) {
    std::cout << images << " images: " << seconds.count() << " s, " << usage.ru_maxrss / 1024
              << " MiB\n";
  }
}

}  // namespace
}  // namespace bulk
