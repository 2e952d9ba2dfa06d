// duet embed: very many images through the segmenter's encoder, before somebody clicks into them.
#include <absl/strings/str_format.h>

#include <iostream>
#include <memory>
#include <string>
#include <string_view>

#include "bulk/output.h"
#include "bulk/run_kind.h"
#include "bulk/services.h"
#include "cli/bulk_options.h"
#include "cli/commands.h"
#include "cli/run_outcome.h"
#include "prelabel/kept_embeddings.h"
#include "text/str_cat.h"

namespace cli {
namespace {

using text::StrCat;

struct Options {
  BulkOptions bulk;
  std::string out;
  std::string embedding_store;
  int embedding_store_mb = 20'000;
};

void AddFlags(Options* options, serving::FlagTable* flags) {
  flags->Add(
      "out", &options->out,
      "What the run is called: what it needs to be resumed is kept in OUT.journal as long as "
      "it isn't done, and OUT.failures.jsonl lists the images that failed. Empty: "
      "embeddings-of- and the source, in the current folder.");
  AddImagesFlag(&options->bulk, flags);
  flags->Add("segmenter", &options->bulk.segmenter,
             "host:port of the segmenter, which has an --embedding_store; several replicas are "
             "separated by commas.");
  flags->Add(
      "segmenter_checkpoint", &options->bulk.segmenter_checkpoint,
      "Without --segmenter: the weights of a segmenter that is started for this run and ends "
      "with it.");
  flags->Add(
      "embedding_store", &options->embedding_store,
      "With --segmenter_checkpoint: where that segmenter keeps embeddings, file:///FOLDER or "
      "redis://HOST; the one that answers clicks has the same.");
  flags->Add("embedding_store_mb", &options->embedding_store_mb,
             "Likewise: what the folder may take, MiB.", serving::InRange(1, 1 << 30));
  backends::AddFlags(&options->bulk.tls, flags);
  AddProjectFlags(&options->bulk, flags);
  AddRunFlags(&options->bulk, flags);
}

// "embeddings-of-label-studio-7"
std::string NameAfter(std::string_view source) {
  constexpr std::size_t kLongest = 100;
  std::string name = "embeddings-of";
  bool gap = true;
  for (const char c : source.substr(0, kLongest)) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '.' || c == '_';
    if (plain) {
      if (gap) name += '-';
      name += c;
    }
    gap = !plain;
  }
  return name;
}

absl::StatusOr<bulk::RunOptions> ToRun(const Options& options, const BulkSource& source) {
  absl::StatusOr<bulk::RunOptions> run = ToRunOptions(options.bulk, source);
  if (!run.ok()) return run.status();
  run->kind = &bulk::EmbedImages();
  run->format = &bulk::NoOutput();
  run->output.out = options.out.empty() ? NameAfter(options.bulk.sources.front()) : options.out;
  if (!options.embedding_store.empty()) {
    run->services.segmenter_flags = {"--embedding_store=" + options.embedding_store,
                                     StrCat("--embedding_store_mb=", options.embedding_store_mb)};
  }
  return run;
}

absl::Status PrintPlan(const Options& options, const bulk::RunOptions& run) {
  const absl::StatusOr<bulk::Plan> plan = bulk::PlanRun(run);
  if (!plan.ok()) return plan.status();
  const std::uint64_t images = plan->listing.images;
  std::shared_ptr<const backends::SegmenterModel> segmenter;  // null: none runs
  if (!run.services.segmenter.empty()) {
    auto asked = bulk::AskSegmenter(run.services);
    if (!asked.ok()) return asked.status();
    segmenter = *std::move(asked);
    absl::Status keeps = prelabel::CheckKeepsEmbeddings(*segmenter);
    if (!keeps.ok()) return keeps;
  }
  if (options.bulk.json) {
    std::cout << "{\"event\":\"plan\",\"images\":" << images << ",\"done\":" << plan->done;
    if (segmenter) {
      std::cout << ",\"bytes\":" << segmenter->embedding_bytes * (images - plan->done);
    }
    if (segmenter && segmenter->store->budget_bytes > 0) {
      std::cout << ",\"store_bytes\":" << segmenter->store->budget_bytes;
    }
    std::cout << "}\n";
    return absl::OkStatus();
  }
  std::cout << run.output.out << ": " << images << " images, " << plan->done << " done; ";
  if (segmenter) {
    std::cout << prelabel::EmbeddingSentence(*segmenter, images, images - plan->done) << "\n";
  } else {
    std::cout << images - plan->done
              << " to embed. How much they take says a segmenter that runs (--segmenter)\n";
  }
  return absl::OkStatus();
}

void PrintResult(const Options& options, const bulk::RunOptions& run,
                 const bulk::RunResult& result) {
  const bulk::Totals& totals = result.totals;
  if (options.bulk.json) {
    std::cout << "{\"event\":\"done\",\"images\":" << totals.images
              << ",\"kept_bytes\":" << totals.kept_bytes << ",\"failed\":" << totals.failed()
              << ",\"done_before\":" << result.before << "}\n";
    return;
  }
  PrintLeftOut(result.left_out, result.closed_folders, result.first_closed);
  std::cout << run.output.out << ": " << totals.images - totals.failed() << " images embedded, "
            << absl::StrFormat("%.1f GB", static_cast<double>(totals.kept_bytes) / 1e9);
  if (result.before > 0) std::cout << "; " << result.before << " were done before";
  std::cout << "\n";
}

absl::Status Embed(const Options& options) {
  if (options.bulk.sources.empty()) {
    return absl::InvalidArgumentError(
        "no SOURCE; needed: duet embed SOURCE..., and the sources before the flags");
  }
  if (!options.bulk.segmenter.empty() && !options.embedding_store.empty()) {
    return absl::InvalidArgumentError(
        "--embedding_store is for a segmenter that is started for this run; --segmenter names one "
        "that runs, and has its own");
  }
  const absl::StatusOr<BulkSource> source = OpenSource(options.bulk, /*out=*/"");
  if (!source.ok()) return source.status();
  const absl::StatusOr<bulk::RunOptions> run = ToRun(options, *source);
  if (!run.ok()) return run.status();
  if (options.bulk.plan) return PrintPlan(options, *run);
  return RunAndReport(options.bulk, *run,
                      [&](const bulk::RunResult& result) { PrintResult(options, *run, result); });
}

}  // namespace

absl::Status RunEmbed(int argc, const char* const* argv) {
  Options options;
  serving::FlagTable flags(
      "duet embed SOURCE...",
      StrCat("Has very many images encoded by the segmenter and kept in its --embedding_store, so "
             "that the first click into each is answered at once: ",
             kSourcesHelp, "\n\nExample: duet embed photos --segmenter=localhost:50052"));
  AddFlags(&options, &flags);
  return ParseSourcesAndRun(flags, &options.bulk.sources, argc, argv,
                            [&] { return Embed(options); });
}

}  // namespace cli
