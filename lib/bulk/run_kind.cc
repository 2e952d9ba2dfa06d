#include "bulk/run_kind.h"

#include <optional>
#include <utility>

#include "bulk/embed_work.h"
#include "bulk/everything_work.h"
#include "bulk/prelabel_work.h"
#include "prelabel/kept_embeddings.h"
#include "text/str_cat.h"

namespace bulk {
namespace {

using text::StrCat;

// Of which classes the output has masks; nothing: of all.
absl::StatusOr<std::optional<ClassNames>> MaskedClasses(const RunOptions& options,
                                                        const Head& head) {
  if (options.format->masked_classes == nullptr) return std::nullopt;
  absl::StatusOr<ClassNames> classes = options.format->masked_classes(head);
  if (!classes.ok()) return classes.status();
  return *std::move(classes);
}

class FindingObjects final : public RunKind {
 public:
  absl::StatusOr<ServiceNeeds> Needs(const RunOptions& options) const override {
    const ServiceOptions& services = options.services;
    if (services.detector.empty() && services.detector_checkpoint.empty()) {
      return absl::InvalidArgumentError(
          "no detector is named; needed: --detector=host:port of one that runs, or "
          "--detector_checkpoint=FILE of one to be started");
    }
    const bool may_need_masks =
        options.masks || options.format->needs_masks || options.format->masked_classes != nullptr;
    return ServiceNeeds{.detector = true,
                        .segmenter = !services.segmenter.empty() ||
                                     (may_need_masks && !services.segmenter_checkpoint.empty())};
  }

  absl::Status Complete(const RunOptions& options, const prelabel::ServedModels& models,
                        Head* head) const override {
    head->detector = models.detector;
    head->segmenter = models.segmenter;
    const auto classes = MaskedClasses(options, *head);
    if (!classes.ok()) return classes.status();
    const bool wanted =
        *classes ? !(*classes)->empty() : options.masks || options.format->needs_masks;
    if (!wanted) return absl::OkStatus();
    if (head->detector->has_masks && head->settings.mask_source != prelabel::MaskSource::kSam) {
      head->masks = MaskMaker::kDetector;
    } else if (head->segmenter) {
      head->masks = MaskMaker::kSegmenter;
    } else {
      return absl::InvalidArgumentError(StrCat("masks are wanted, and the detector's model ",
                                               head->detector->name,
                                               " makes none; needed: --segmenter=host:port"));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<ImageWork>> MakeWork(
      const RunOptions& options, const Head& head, const Services& services,
      boost::asio::thread_pool& pool) const override {
    auto classes = MaskedClasses(options, head);
    if (!classes.ok()) return classes.status();
    return std::make_unique<PrelabelWork>(
        head, *services.detector(),
        head.masks == MaskMaker::kSegmenter ? services.segmenter() : nullptr, pool,
        *std::move(classes));
  }
};

class FindingEverything final : public RunKind {
 public:
  absl::StatusOr<ServiceNeeds> Needs(const RunOptions& options) const override {
    if (options.services.segmenter.empty() && options.services.segmenter_checkpoint.empty()) {
      return absl::InvalidArgumentError(
          "no segmenter is named; needed: --segmenter=host:port of one that runs, or "
          "--segmenter_checkpoint=FILE of one to be started");
    }
    return ServiceNeeds{.segmenter = true};
  }

  absl::Status Complete(const RunOptions& options, const prelabel::ServedModels& models,
                        Head* head) const override {
    head->detector = EverythingModel(head->mask_generator);
    head->segmenter = models.segmenter;
    head->masks = MaskMaker::kSegmenter;
    return MaskedClasses(options, *head).status();
  }

  absl::StatusOr<std::unique_ptr<ImageWork>> MakeWork(
      const RunOptions& /*options*/, const Head& head, const Services& services,
      boost::asio::thread_pool& /*pool*/) const override {
    return std::make_unique<EverythingWork>(head, *services.segmenter());
  }
};

class EmbeddingImages final : public RunKind {
 public:
  absl::StatusOr<ServiceNeeds> Needs(const RunOptions& options) const override {
    const ServiceOptions& services = options.services;
    if (services.segmenter.empty() &&
        (services.segmenter_checkpoint.empty() || services.segmenter_flags.empty())) {
      return absl::InvalidArgumentError(
          "no segmenter is named; needed: --segmenter=host:port of one that runs with "
          "--embedding_store, or --segmenter_checkpoint=FILE and --embedding_store of one to be "
          "started");
    }
    return ServiceNeeds{.segmenter = true};
  }

  // The encoder is all that embeddings depend on, so the head has no model.
  absl::Status Complete(const RunOptions& /*options*/, const prelabel::ServedModels& models,
                        Head* head) const override {
    if (models.segmenter == nullptr) return absl::OkStatus();  // the run is done
    head->encoder = models.segmenter->encoder;
    return prelabel::CheckKeepsEmbeddings(*models.segmenter);
  }

  std::string Notice(const Head& head, const Services& services,
                     std::uint64_t left) const override {
    const auto model = services.segmenter()->model();
    if (model == nullptr || left == 0) return "";
    return prelabel::EmbeddingSentence(*model, head.listing.images, left);
  }

  absl::StatusOr<std::unique_ptr<ImageWork>> MakeWork(
      const RunOptions& /*options*/, const Head& head, const Services& services,
      boost::asio::thread_pool& /*pool*/) const override {
    return std::make_unique<EmbedWork>(head, *services.segmenter());
  }
};

}  // namespace

const RunKind& FindObjects() {
  static const FindingObjects kind;
  return kind;
}

const RunKind& FindEverything() {
  static const FindingEverything kind;
  return kind;
}

const RunKind& EmbedImages() {
  static const EmbeddingImages kind;
  return kind;
}

}  // namespace bulk
