// Interprets the steps of a test pipeline: how an image becomes the network's input.
#ifndef DUET_DETECTOR_SERVICE_CONFIG_TEST_PIPELINE_H_
#define DUET_DETECTOR_SERVICE_CONFIG_TEST_PIPELINE_H_

#include "detector_service/config/config_reader.h"
#include "detector_service/config/detector_settings.h"
#include "detector_service/config/python_value.h"

namespace detector {

// The pipeline that mmdet tests with: of test_dataloader's data set, or of the first one in it that
// it is a wrapper around. Without one, test_pipeline, then val_dataloader's. Null if there is none.
const PythonValue* FindTestPipeline(const PythonValue& config, ConfigReader* reader);

// Sets what the steps decide in `settings`. Steps and keys that would change the image in a way
// that is not supported are failures of `reader`, by name.
void ReadTestPipeline(const PythonValue& pipeline, ConfigReader* reader,
                      DetectorSettings* settings);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_CONFIG_TEST_PIPELINE_H_
