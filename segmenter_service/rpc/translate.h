// Between the wire's messages and the engine's types, but for masks and prompts (mask_message.h).
#ifndef DUET_SEGMENTER_SERVICE_RPC_TRANSLATE_H_
#define DUET_SEGMENTER_SERVICE_RPC_TRANSLATE_H_

#include <absl/status/status.h>

#include "duet/segmenter/v1/segmenter.pb.h"
#include "segmenter_service/inference/segmenter.h"
#include "segmenter_service/rpc/mask_message.h"

namespace segmenter {

serving::Priority PriorityOf(duet::segmenter::v1::EmbedRank rank);

// What is not set keeps upstream's default.
MaskGeneratorOptions ReadOptions(const duet::segmenter::v1::SegmentEverythingRequest& request);

// All but format_ms.
void WriteTimes(const CallTimes& times, duet::segmenter::v1::Timing* timing);

// All but the name that it serves under.
void WriteModelInfo(const ServedModel& model, duet::vision::v1::ModelInfo* info);

// All masks of all prompts, rendered in parallel on a few threads, since somebody waits for them.
absl::Status WriteResults(const SegmentResult& answer, const MaskFormats& formats,
                          duet::segmenter::v1::SegmentResponse* response);

absl::Status WriteGenerated(const GeneratedMask& generated, const MaskFormats& formats,
                            duet::segmenter::v1::GeneratedMask* message);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_RPC_TRANSLATE_H_
