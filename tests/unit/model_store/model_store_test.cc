#include "model_store/model_store.h"

#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "model_store/rollback.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace model_store {
namespace {

namespace fs = std::filesystem;
using absl::StatusCode;
using duet_testing::IsOk;
using duet_testing::ReadFile;
using duet_testing::StatusIs;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

constexpr Kind kKind = Kind::kDetector;
const std::string kName = "project-7";

void Write(const std::string& path, const std::string& contents) {
  std::ofstream(path, std::ios::binary) << contents;
}

class ModelStoreTest : public testing::Test {
 protected:
  // Relative to the model root.
  std::string Path(const std::string& path) const { return root_.path() + "/" + path; }
  std::string Version(const std::string& path) const { return Path("detector/project-7/" + path); }

  absl::StatusOr<std::uint64_t> Publish(std::uint64_t parent = 0,
                                        const std::string& weights = "weights") {
    absl::StatusOr<Staging> staging = store_.Stage(kKind, kName);
    if (!staging.ok()) return staging.status();
    Write(staging->folder() + "/model.pth", weights);
    Write(staging->folder() + "/report.md", "# Report\n");
    return staging->Publish({.parent = parent, .classes = {"star"}});
  }
  absl::StatusOr<Serving> Serve(std::uint64_t version, std::uint64_t decided = 0) {
    return store_.UpdateServing(kKind, kName, [&](const Serving&) -> absl::StatusOr<Serving> {
      return Serving{.version = version, .decided = decided, .by = "test", .reason = "A test."};
    });
  }
  std::vector<std::string> Names(const std::string& path) const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(Path(path))) {
      names.push_back(entry.path().filename());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  duet_testing::TempDir root_;
  const ModelStore store_{root_.path()};
};

TEST_F(ModelStoreTest, AnEmptyRootHasNoNamesAndAMissingOneIsSaid) {
  ASSERT_OK_AND_ASSIGN(const auto names, store_.ListNames(kKind));
  EXPECT_THAT(names, IsEmpty());
  const ModelStore missing(Path("none"));
  EXPECT_THAT(missing.ListNames(kKind),
              StatusIs(StatusCode::kFailedPrecondition, StartsWith(Path("none") + ": ")));
  EXPECT_THAT(missing.Stage(kKind, kName),
              StatusIs(StatusCode::kFailedPrecondition, StartsWith(Path("none") + ": ")));
  EXPECT_FALSE(fs::exists(Path("none"))) << "perhaps a volume that isn't mounted";
}

TEST_F(ModelStoreTest, WhatIsPublishedIsThereAndVerified) {
  ASSERT_OK_AND_ASSIGN(const std::uint64_t version, Publish(/*parent=*/0));
  EXPECT_EQ(version, 1u);
  EXPECT_THAT(Names("detector/project-7"), ElementsAre(".lock", "1"));
  EXPECT_THAT(Names("detector/project-7/1"),
              ElementsAre("manifest.json", "model.pth", "report.md"));
  ASSERT_OK_AND_ASSIGN(const Manifest manifest, store_.VerifyVersion(kKind, kName, 1));
  EXPECT_EQ(manifest.name, kName);
  EXPECT_EQ(manifest.version, 1u);
  EXPECT_THAT(manifest.classes, ElementsAre("star"));
  ASSERT_EQ(manifest.files.size(), 2u);
  EXPECT_EQ(manifest.files[0].name, "model.pth");
  EXPECT_EQ(manifest.files[0].bytes, 7u);
  // sha256sum of "weights"
  EXPECT_EQ(manifest.files[0].sha256,
            "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c");
  EXPECT_EQ(manifest.created.size(), 20u) << manifest.created;
}

TEST_F(ModelStoreTest, WhatIsStagedIsNoVersionAndGoesWithItsOwner) {
  {
    ASSERT_OK_AND_ASSIGN(const Staging staging, store_.Stage(kKind, kName));
    Write(staging.folder() + "/model.pth", "half");
    ASSERT_OK_AND_ASSIGN(const auto versions, store_.ListVersions(kKind, kName));
    EXPECT_THAT(versions, IsEmpty());
    EXPECT_THAT(store_.RemoveAbandoned(kKind), IsOk());
    EXPECT_TRUE(fs::exists(staging.folder())) << "its owner lives";
  }
  EXPECT_THAT(Names("detector/project-7"), ElementsAre(".lock"));
}

TEST_F(ModelStoreTest, WhatKilledProcessesLeftIsRemoved) {
  ASSERT_THAT(Publish(), IsOk());
  for (const char* left : {".staging-1.0", ".staging-1.1", ".deleted-1.2"}) {
    fs::create_directory(Version(left));
    Write(Version(left) + std::string("/model.pth"), "half");
  }
  Write(Version(".staging-1.1/.owner"), "");
  Write(Version("serving.json.1.0.tmp"), "{");
  fs::create_directory(Path("detector/.deleted-1.3"));

  EXPECT_THAT(store_.RemoveAbandoned(kKind), IsOk());

  EXPECT_THAT(Names("detector"), ElementsAre("project-7"));
  EXPECT_THAT(Names("detector/project-7"), ElementsAre(".lock", "1"));
}

TEST_F(ModelStoreTest, APublishedVersionNeedsItsModelAndNothingButFiles) {
  const auto publish = [&](auto&& fill, Manifest manifest = {}) -> absl::Status {
    absl::StatusOr<Staging> staging = store_.Stage(kKind, kName);
    if (!staging.ok()) return staging.status();
    fill(staging->folder());
    return staging->Publish(std::move(manifest)).status();
  };
  const auto model = [](const std::string& folder) { Write(folder + "/model.pth", "weights"); };
  EXPECT_THAT(publish([](const std::string&) {}),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("model.pth: is missing")));
  EXPECT_THAT(publish([&](const std::string& folder) {
                model(folder);
                fs::create_symlink("/etc/passwd", folder + "/report.md");
              }),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("report.md: is a symbolic link")));
  EXPECT_THAT(
      publish([&](const std::string& folder) {
        model(folder);
        fs::create_directory(folder + "/images");
      }),
      StatusIs(StatusCode::kInvalidArgument, HasSubstr("images: is a symbolic link or no")));
  const Verdict verdict{.new_score = std::numeric_limits<double>::quiet_NaN()};
  EXPECT_THAT(publish(model, {.verdict = verdict}),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("a score of nan")));
  EXPECT_THAT(Names("detector/project-7"), ElementsAre(".lock"));
}

TEST_F(ModelStoreTest, NumbersGrowAndAreNeverUsedAgain) {
  for (const std::uint64_t expected : {1u, 2u, 3u}) {
    ASSERT_OK_AND_ASSIGN(const std::uint64_t version, Publish());
    EXPECT_EQ(version, expected);
  }
  EXPECT_THAT(store_.DeleteVersion(kKind, kName, 3), IsOk());
  ASSERT_OK_AND_ASSIGN(const std::uint64_t version, Publish());
  EXPECT_EQ(version, 4u);
  fs::remove_all(Version("4"));  // by hand
  ASSERT_OK_AND_ASSIGN(const std::uint64_t next, Publish());
  EXPECT_EQ(next, 5u);
  // By numbers, not by their text; what is no number is passed over.
  for (const char* name : {"10", "007", "99999999999999999999999", "v3"}) {
    fs::create_directory(Version(name));
  }
  ASSERT_OK_AND_ASSIGN(const auto versions, store_.ListVersions(kKind, kName));
  EXPECT_THAT(versions, ElementsAre(1, 2, 5, 10));
  ASSERT_OK_AND_ASSIGN(const std::uint64_t after, Publish());
  EXPECT_EQ(after, 11u);
}

TEST_F(ModelStoreTest, AfterTheLastNumberNothingIsPublished) {
  ASSERT_THAT(Publish(), IsOk());
  fs::create_directory(Version("18446744073709551615"));
  EXPECT_THAT(Publish(), StatusIs(StatusCode::kOutOfRange,
                                  HasSubstr("18446744073709551615: there is no higher number")));
}

TEST_F(ModelStoreTest, PublishersAtTheSameTimeGetNumbersOfTheirOwn) {
  constexpr int kThreads = 4;
  constexpr int kEach = 3;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([this] {
      for (int i = 0; i < kEach; ++i) EXPECT_THAT(Publish(), IsOk());
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_OK_AND_ASSIGN(const auto versions, store_.ListVersions(kKind, kName));
  ASSERT_EQ(versions.size(), static_cast<std::size_t>(kThreads * kEach));
  EXPECT_EQ(versions.back(), versions.size());
  for (const std::uint64_t version : versions) {
    EXPECT_THAT(store_.VerifyVersion(kKind, kName, version), IsOk());
  }
}

TEST_F(ModelStoreTest, WhatWasDamagedByHandIsNamed) {
  const auto damaged = [&](const std::string& file, const char* why) {
    return StatusIs(StatusCode::kDataLoss, AllOf(StartsWith(Version(file) + ": "), HasSubstr(why)));
  };
  for (int i = 0; i < 7; ++i) ASSERT_THAT(Publish(), IsOk());
  const auto verify = [&](std::uint64_t version) {
    return store_.VerifyVersion(kKind, kName, version);
  };
  Write(Version("1/model.pth"), "weightz");
  EXPECT_THAT(verify(1), damaged("1/model.pth", "has changed since it was published"));
  Write(Version("2/model.pth"), "weight");
  EXPECT_THAT(verify(2), damaged("2/model.pth", "has 6 bytes; it was published with 7"));
  fs::remove(Version("3/model.pth"));
  EXPECT_THAT(verify(3), damaged("3/model.pth", "cannot be opened"));
  fs::remove(Version("4/manifest.json"));
  EXPECT_THAT(verify(4), damaged("4/manifest.json", "cannot be opened"));
  fs::copy(Version("1/manifest.json"), Version("5/manifest.json"),
           fs::copy_options::overwrite_existing);
  EXPECT_THAT(verify(5), damaged("5/manifest.json", "is of version 1 of detector \"project-7\""));
  fs::remove(Version("6/model.pth"));
  Write(Path("outside"), "weights");
  fs::create_symlink(Path("outside"), Version("6/model.pth"));
  EXPECT_THAT(verify(6), damaged("6/model.pth", "is a symbolic link"));
  fs::remove(Version("7/manifest.json"));
  ASSERT_EQ(mkfifo(Version("7/manifest.json").c_str(), 0600), 0);
  EXPECT_THAT(verify(7), damaged("7/manifest.json", "no regular file"));
  EXPECT_THAT(verify(8), StatusIs(StatusCode::kNotFound, StartsWith(Version("8") + ": ")));
  EXPECT_THAT(store_.ReadManifest(kKind, kName, 1), IsOk()) << "what is in the file isn't read";
}

TEST_F(ModelStoreTest, WhatIsOpenedStaysWhatWasVerified) {
  ASSERT_THAT(Publish(), IsOk());
  ASSERT_THAT(Publish(), IsOk());
  ASSERT_OK_AND_ASSIGN(const OpenedVersion opened, store_.OpenVersion(kKind, kName, 1));
  Write(Version("1/model.pth"), "");
  EXPECT_EQ(opened.manifest().version, 1u);
  EXPECT_EQ(opened.folder(), Version("1"));
  EXPECT_EQ(opened.model_path(), Version("1/model.pth"));
  EXPECT_EQ(ReadFile(opened.model_handle()), "weights");
  EXPECT_THAT(store_.OpenVersion(kKind, kName, 1),
              StatusIs(StatusCode::kDataLoss, StartsWith(Version("1/model.pth") + ": ")));
  Write(Version("2/report.md"), "");
  EXPECT_THAT(store_.OpenVersion(kKind, kName, 2),
              StatusIs(StatusCode::kDataLoss, StartsWith(Version("2/report.md") + ": ")));
  EXPECT_THAT(store_.OpenVersion(kKind, kName, 3), StatusIs(StatusCode::kNotFound, HasSubstr("3")));
}

TEST_F(ModelStoreTest, NothingIsReachedThroughLinks) {
  ASSERT_THAT(Publish(), IsOk());
  duet_testing::TempDir elsewhere;
  fs::rename(Path("detector/project-7"), elsewhere.path() + "/project-7");
  fs::create_directory_symlink(elsewhere.path() + "/project-7", Path("detector/project-7"));
  ASSERT_OK_AND_ASSIGN(const auto names, store_.ListNames(kKind));
  EXPECT_THAT(names, IsEmpty());
  const auto refused = StatusIs(StatusCode::kFailedPrecondition, HasSubstr("is a symbolic link"));
  EXPECT_THAT(store_.ListVersions(kKind, kName), refused);
  EXPECT_THAT(store_.VerifyVersion(kKind, kName, 1), refused);
  EXPECT_THAT(store_.ReadServing(kKind, kName), refused);
  EXPECT_THAT(Publish(), refused);
  EXPECT_THAT(store_.DeleteName(kKind, kName), refused);
}

TEST_F(ModelStoreTest, NamesFromOutsideReachNoFile) {
  fs::create_directories(Path("detector/Upper"));
  fs::create_directories(Path("detector/default"));
  fs::create_directories(Path("detector/ok"));
  Write(Path("detector/file"), "");
  ASSERT_OK_AND_ASSIGN(const auto names, store_.ListNames(kKind));
  EXPECT_THAT(names, ElementsAre("ok"));
  for (const char* name : {"..", "../detector/ok", "Upper", "default", ""}) {
    const auto refused = StatusIs(StatusCode::kInvalidArgument, HasSubstr("is no model's name"));
    EXPECT_THAT(store_.ReadServing(kKind, name), refused);
    EXPECT_THAT(store_.ListVersions(kKind, name), refused);
    EXPECT_THAT(store_.Stage(kKind, name), refused);
    EXPECT_THAT(store_.DeleteName(kKind, name), refused);
  }
}

TEST_F(ModelStoreTest, WhatServesIsReplacedAndTheFormerIsRemembered) {
  ASSERT_THAT(Publish(), IsOk());
  ASSERT_THAT(Publish(1), IsOk());
  EXPECT_THAT(store_.ReadServing(kKind, kName), StatusIs(StatusCode::kNotFound, HasSubstr("")));
  ASSERT_THAT(Serve(1, /*decided=*/1), IsOk());
  ASSERT_OK_AND_ASSIGN(Serving serving, Serve(2, /*decided=*/2));
  EXPECT_EQ(serving.version, 2u);
  EXPECT_EQ(serving.previous, 1u);
  ASSERT_OK_AND_ASSIGN(serving, Serve(1, /*decided=*/0));  // a rollback
  EXPECT_EQ(serving.previous, 2u);
  EXPECT_EQ(serving.decided, 2u) << "never falls";
  ASSERT_OK_AND_ASSIGN(serving, Serve(1));
  EXPECT_EQ(serving.previous, 2u) << "the same version again";
  ASSERT_OK_AND_ASSIGN(const Serving read, store_.ReadServing(kKind, kName));
  EXPECT_EQ(read, serving);
  EXPECT_EQ(read.by, "test");
  EXPECT_EQ(read.reason, "A test.");
  ASSERT_OK_AND_ASSIGN(serving, Serve(0));
  EXPECT_EQ(serving.previous, 1u) << "the default model serves";
  EXPECT_THAT(Names("detector/project-7"), ElementsAre(".lock", "1", "2", "serving.json"));
}

TEST_F(ModelStoreTest, ARollbackReplacesWhatItsAskerHasSeen) {
  ASSERT_THAT(Publish(), IsOk());
  ASSERT_THAT(Publish(1), IsOk());
  ASSERT_THAT(Serve(1, /*decided=*/1), IsOk());
  ASSERT_THAT(Serve(2, /*decided=*/2), IsOk());
  const auto roll_back = [&](Rollback asked) {
    asked.by = "ann";
    return RollBack(store_, kKind, kName, asked);
  };

  EXPECT_THAT(roll_back({.version = 1, .replaces = 1}),
              StatusIs(StatusCode::kFailedPrecondition,
                       HasSubstr("is served by version 2 by now, no longer by version 1")));
  ASSERT_OK_AND_ASSIGN(RolledBack done, roll_back({}));
  EXPECT_EQ(done.before, 2u);
  EXPECT_EQ(done.now, 1u) << "what served before";
  ASSERT_OK_AND_ASSIGN(const Serving serving, store_.ReadServing(kKind, kName));
  EXPECT_EQ(serving.by, "ann");
  EXPECT_EQ(serving.reason, "it replaces version 2");
  EXPECT_EQ(serving.decided, 2u);
  EXPECT_THAT(roll_back({.version = 1}),
              StatusIs(StatusCode::kFailedPrecondition, HasSubstr("by version 1 already")));
  ASSERT_OK_AND_ASSIGN(done, roll_back({.version = 0, .replaces = 1}));
  EXPECT_EQ(done.now, 0u);
}

TEST_F(ModelStoreTest, AChangeOfVersionIsToBeRenewedAndAClaimChangesNothingElse) {
  ASSERT_THAT(Publish(), IsOk());
  ASSERT_OK_AND_ASSIGN(const Serving served, Serve(1));
  EXPECT_FALSE(served.renewed);
  const auto claim = [&] {
    return store_.UpdateServing(kKind, kName, [](Serving now) -> absl::StatusOr<Serving> {
      now.renewed = true;
      return now;
    });
  };
  ASSERT_OK_AND_ASSIGN(Serving claimed, claim());
  EXPECT_TRUE(claimed.renewed);
  claimed.renewed = false;
  EXPECT_EQ(claimed, served);
  EXPECT_TRUE(store_.ReadServing(kKind, kName)->renewed);
  ASSERT_OK_AND_ASSIGN(const Serving back, Serve(0));
  EXPECT_FALSE(back.renewed);
  // An earlier release has written it.
  Write(Version("serving.json"), R"({"version": 1})");
  EXPECT_TRUE(store_.ReadServing(kKind, kName)->renewed);
}

// Otherwise nobody could read the file again, nor change what serves.
TEST_F(ModelStoreTest, LongTextsOfAChangeAreCut) {
  ASSERT_THAT(Publish(), IsOk());
  const std::string text(1 << 20, '"');
  ASSERT_THAT(store_.UpdateServing(kKind, kName,
                                   [&](Serving now) -> absl::StatusOr<Serving> {
                                     now.by = now.reason = text;
                                     return now;
                                   }),
              IsOk());
  ASSERT_OK_AND_ASSIGN(const Serving serving, store_.ReadServing(kKind, kName));
  EXPECT_EQ(serving.reason, text.substr(0, 2000));
  EXPECT_THAT(Serve(1), IsOk());
}

TEST_F(ModelStoreTest, OnlyAWholeVersionServes) {
  ASSERT_THAT(Publish(), IsOk());
  ASSERT_THAT(Publish(), IsOk());
  ASSERT_THAT(Serve(1), IsOk());
  const std::string before = ReadFile(Version("serving.json"));
  Write(Version("2/model.pth"), "weightz");
  EXPECT_THAT(Serve(2), StatusIs(StatusCode::kDataLoss, StartsWith(Version("2/model.pth"))));
  EXPECT_THAT(Serve(3), StatusIs(StatusCode::kNotFound, StartsWith(Version("3"))));
  EXPECT_THAT(store_.UpdateServing(kKind, kName,
                                   [](const Serving& now) -> absl::StatusOr<Serving> {
                                     return absl::AbortedError(std::to_string(now.version));
                                   }),
              StatusIs(StatusCode::kAborted, "1"));
  EXPECT_EQ(ReadFile(Version("serving.json")), before);
}

TEST_F(ModelStoreTest, NoChangeOfWhatServesIsLost) {
  ASSERT_THAT(Publish(), IsOk());
  constexpr int kThreads = 4;
  constexpr int kEach = 8;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([this] {
      for (int i = 0; i < kEach; ++i) {
        EXPECT_THAT(store_.UpdateServing(kKind, kName,
                                         [](Serving now) -> absl::StatusOr<Serving> {
                                           ++now.decided;
                                           return now;
                                         }),
                    IsOk());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_OK_AND_ASSIGN(const Serving serving, store_.ReadServing(kKind, kName));
  EXPECT_EQ(serving.decided, static_cast<std::uint64_t>(kThreads * kEach));
}

TEST_F(ModelStoreTest, AServingFileThatWasDamagedByHandIsNamed) {
  ASSERT_THAT(Publish(), IsOk());
  const struct {
    std::string text;
    const char* why;
  } cases[] = {
      {"", "is no JSON"},
      {"version = 1", "is no JSON"},
      {"[1]", "is no JSON object"},
      {"{}", "has no 'version'"},
      {R"({"version": "1"})", "'version' is no whole number"},
      {R"({"version": 18446744073709551616})", "'version' is no whole number"},
      {R"({"version": -1})", "'version' is no whole number"},
      {R"({"version": 1, "reason": 5})", "'reason' is no text"},
      {std::string(100'000, ' '), "is larger than"},
  };
  for (const auto& [text, why] : cases) {
    Write(Version("serving.json"), text);
    const auto damaged = StatusIs(
        StatusCode::kDataLoss, AllOf(StartsWith(Version("serving.json") + ": "), HasSubstr(why)));
    EXPECT_THAT(store_.ReadServing(kKind, kName), damaged) << text;
    EXPECT_THAT(Serve(1), damaged) << text;
    EXPECT_THAT(store_.DeleteVersion(kKind, kName, 1), damaged) << text;
    EXPECT_THAT(store_.DeleteOldVersions(kKind, kName, 0), damaged) << text;
  }
  Write(Version("serving.json"), R"({"version": 9, "by": "me", "other": []})");
  ASSERT_OK_AND_ASSIGN(const Serving serving, store_.ReadServing(kKind, kName));
  EXPECT_EQ(serving.version, 9u) << "whether it exists isn't looked at";
}

TEST_F(ModelStoreTest, OldVersionsGoButForThoseThatAreNeeded) {
  ASSERT_THAT(Publish(0), IsOk());
  ASSERT_THAT(Publish(1), IsOk());
  ASSERT_THAT(Publish(1), IsOk());  // 3 begins from 1
  ASSERT_THAT(Publish(2), IsOk());
  ASSERT_THAT(Publish(4), IsOk());  // 5 begins from 4
  ASSERT_THAT(Publish(0), IsOk());
  ASSERT_THAT(Publish(0), IsOk());
  ASSERT_THAT(Serve(3), IsOk());
  ASSERT_THAT(Serve(5), IsOk());

  ASSERT_OK_AND_ASSIGN(const auto deleted, store_.DeleteOldVersions(kKind, kName, 1));

  EXPECT_THAT(deleted, ElementsAre(2, 6)) << "5 serves, from 4; 3 served before, from 1; 7 is new";
  EXPECT_THAT(Names("detector/project-7"),
              ElementsAre(".lock", "1", "3", "4", "5", "7", "serving.json"));
  ASSERT_OK_AND_ASSIGN(const auto again, store_.DeleteOldVersions(kKind, kName, 9));
  EXPECT_THAT(again, IsEmpty());
  fs::remove(Version("5/manifest.json"));
  EXPECT_THAT(store_.DeleteOldVersions(kKind, kName, 0),
              StatusIs(StatusCode::kDataLoss, HasSubstr("")));
}

TEST_F(ModelStoreTest, WhatServesIsNotDeletedAlone) {
  ASSERT_THAT(Publish(), IsOk());
  ASSERT_THAT(Publish(), IsOk());
  ASSERT_THAT(Serve(1), IsOk());
  EXPECT_THAT(store_.DeleteVersion(kKind, kName, 1),
              StatusIs(StatusCode::kFailedPrecondition, HasSubstr("is the version that serves")));
  EXPECT_THAT(store_.DeleteVersion(kKind, kName, 2), IsOk());
  EXPECT_THAT(store_.DeleteVersion(kKind, kName, 2),
              StatusIs(StatusCode::kNotFound, HasSubstr("")));
  EXPECT_THAT(store_.DeleteVersion(kKind, kName, 0),
              StatusIs(StatusCode::kNotFound, HasSubstr("")));
  EXPECT_THAT(store_.DeleteName(kKind, kName), IsOk());
  EXPECT_THAT(Names("detector"), IsEmpty());
  EXPECT_THAT(store_.DeleteName(kKind, kName), StatusIs(StatusCode::kNotFound, HasSubstr("")));
  EXPECT_THAT(store_.ReadServing(kKind, kName), StatusIs(StatusCode::kNotFound, HasSubstr("")));
}

TEST_F(ModelStoreTest, WhoStagedForADeletedNameIsTold) {
  ASSERT_OK_AND_ASSIGN(Staging staging, store_.Stage(kKind, kName));
  Write(staging.folder() + "/model.pth", "weights");
  ASSERT_THAT(store_.DeleteName(kKind, kName), IsOk());
  EXPECT_THAT(staging.Publish({}), StatusIs(StatusCode::kNotFound, HasSubstr("project-7")));
  EXPECT_THAT(Names("detector"), IsEmpty());
}

// A full disk: a process that may write files of 4 bytes only, and no signal says so.
TEST_F(ModelStoreTest, AFullDiskLeavesWhatWasThere) {
  ASSERT_THAT(Publish(), IsOk());
  ASSERT_THAT(Publish(), IsOk());
  ASSERT_THAT(Serve(1), IsOk());
  const std::string before = ReadFile(Version("serving.json"));
  ASSERT_OK_AND_ASSIGN(Staging staging, store_.Stage(kKind, kName));
  Write(staging.folder() + "/model.pth", "weights");
  const pid_t child = fork();
  if (child == 0) {
    const rlimit limit{4, 4};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    const bool refused = !Serve(2).ok() && !staging.Publish({}).ok();
    _exit(refused ? 0 : 1);
  }
  int ended = -1;
  ASSERT_EQ(waitpid(child, &ended, 0), child);
  EXPECT_EQ(ended, 0);
  EXPECT_EQ(ReadFile(Version("serving.json")), before);
  ASSERT_OK_AND_ASSIGN(const auto versions, store_.ListVersions(kKind, kName));
  EXPECT_THAT(versions, ElementsAre(1, 2));
  ASSERT_OK_AND_ASSIGN(const std::uint64_t version, staging.Publish({}));
  EXPECT_GT(version, 2u) << "the number that was begun with isn't used again";
}

TEST_F(ModelStoreTest, ADamagedLockFileLosesNoNumber) {
  ASSERT_THAT(Publish(), IsOk());
  Write(Version(".lock"), "a note that somebody put here");
  ASSERT_OK_AND_ASSIGN(const std::uint64_t version, Publish());
  EXPECT_EQ(version, 2u);
  EXPECT_EQ(ReadFile(Version(".lock")), "2");
}

}  // namespace
}  // namespace model_store
