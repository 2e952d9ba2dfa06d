// Masks in the forms that the wire has for them.
#ifndef DUET_MODEL_SERVICE_MASK_MESSAGE_H_
#define DUET_MODEL_SERVICE_MASK_MESSAGE_H_

#include "duet/vision/v1/mask.pb.h"
#include "vision/mask.h"

namespace model_service {

void WriteCocoRle(const vision::Mask& mask, duet::vision::v1::CocoRle* message);
void WriteRowRuns(const vision::Mask& mask, duet::vision::v1::RowRuns* message);

}  // namespace model_service

#endif  // DUET_MODEL_SERVICE_MASK_MESSAGE_H_
