#include "prelabel/kept_embeddings.h"

#include <absl/strings/str_format.h>
#include <absl/time/time.h>

#include "text/str_cat.h"

namespace prelabel {
namespace {

using text::StrCat;

// "20.1 GB".
std::string Size(double bytes) {
  const bool large = bytes >= 1e9;
  return absl::StrFormat(large ? "%.1f GB" : "%.1f MB", bytes / (large ? 1e9 : 1e6));
}

}  // namespace

absl::Status CheckKeepsEmbeddings(const backends::SegmenterModel& model) {
  if (model.store) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat("the embeddings of the segmenter (", model.name,
             ") end with it; needed: one that was started with --embedding_store=file:///FOLDER"));
}

std::string EmbeddingSentence(const backends::SegmenterModel& model, std::uint64_t images,
                              std::uint64_t left) {
  const auto each = static_cast<double>(model.embedding_bytes);
  std::string sentence = StrCat(left, " images to embed: ", Size(each * static_cast<double>(left)),
                                ", ", Size(each), " each");
  if (!model.store) return sentence;
  const auto budget = static_cast<double>(model.store->budget_bytes);
  if (budget > 0) text::StrAppend(&sentence, ", in a store of ", Size(budget));
  if (model.store->kept_for_s > 0) {
    text::StrAppend(&sentence, ", kept for ",
                    absl::FormatDuration(absl::Seconds(model.store->kept_for_s)),
                    " (--embedding_store_ttl_s)");
  }
  if (const double all = each * static_cast<double>(images); budget > 0 && all > budget) {
    text::StrAppend(&sentence, "; all ", images, " take ", Size(all),
                    ", so that the first are gone when the last are stored; needed: a larger "
                    "--embedding_store_mb of the segmenter");
  }
  return sentence;
}

}  // namespace prelabel
