// The flags that say what a training learns from, the same for all trainings.
#ifndef DUET_TRAINER_RUN_DATA_FLAGS_H_
#define DUET_TRAINER_RUN_DATA_FLAGS_H_

#include <string_view>

#include "serving/flags.h"
#include "trainer/run/training_data.h"

namespace trainer {

// `data` must outlive the table. `classes_help`: of --classes, which means something else to each.
void AddDataFlags(DataOptions* data, std::string_view classes_help, serving::FlagTable* flags);

}  // namespace trainer

#endif  // DUET_TRAINER_RUN_DATA_FLAGS_H_
