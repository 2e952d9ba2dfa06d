// What a bulk run is told: its images, what is done to them and by whom, and what is written.
#ifndef DUET_BULK_RUN_OPTIONS_H_
#define DUET_BULK_RUN_OPTIONS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "bulk/listing.h"
#include "bulk/output.h"
#include "bulk/pipeline.h"
#include "bulk/services.h"
#include "http_client/network.h"
#include "image_fetch/source_options.h"
#include "prelabel/settings.h"

namespace bulk {

class RunKind;  // run_kind.h

struct RunOptions {
  ListingOptions listing;
  const RunKind* kind = nullptr;  // not null; outlives the run
  ServiceOptions services;
  OutputOptions output;
  const OutputFormat* format = nullptr;  // not null; NoOutput() if nothing is to be written
  bool masks = false;                    // whatever the format needs by itself
  // Of a run that finds everything: CanonicalMaskGenerator's.
  std::string mask_generator;
  std::string label_config;  // XML; "": none
  prelabel::Settings settings;
  // Which private addresses images of a project's tasks may be at; those of other sources may be at
  // any, since who names them could ask for them without us.
  image_fetch::SourceOptions images;
  std::shared_ptr<http_client::Network> network = nullptr;  // null: Network::Default()
  std::int64_t max_image_bytes = 63 << 20;
  // Of a run that is complete, tries those images again that failed.
  bool retry_failed = false;
  Pipeline::Options pipeline;
};

}  // namespace bulk

#endif  // DUET_BULK_RUN_OPTIONS_H_
