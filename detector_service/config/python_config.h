// Reads an mmengine config as Python text: what training writes into checkpoints (meta['cfg']) and
// what stands in config files. Nothing is executed and nothing is looked up outside of the text.
//
//   model = dict(test_cfg=dict(nms=dict(iou_threshold=0.65), nms_pre=30000), type='RTMDet')
//   _base_.model.test_cfg.score_thr = 0.05 * 2
//
// What is not understood is opaque (python_value.h), not an error.
#ifndef DUET_DETECTOR_SERVICE_CONFIG_PYTHON_CONFIG_H_
#define DUET_DETECTOR_SERVICE_CONFIG_PYTHON_CONFIG_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "detector_service/config/python_value.h"

namespace detector {

struct PythonConfig {
  // A dict: one key per assigned name, the last assignment wins. If the text stops to be Python, or
  // takes names from elsewhere (`import *`), its rest is opaque: any name may be there.
  PythonValue values = PythonValue(PythonValue::Dict());
};

// What a text is read with.
struct PythonScope {
  // What `_base_` stands for: the merged values of the configs that the text builds upon.
  PythonValue base;
  // Names that `with read_base():` brings: of each module, as the text names it, its values. A
  // module that isn't here makes everything opaque.
  std::vector<std::pair<std::string, PythonValue>> modules;
};

// Never fails. Time, memory and depth are bounded whatever the text.
PythonConfig ParsePythonConfig(std::string_view text, const PythonScope& scope = {});

// What a text builds upon.
struct PythonBases {
  PythonValue files;  // what `_base_` is first assigned; None if it isn't
  // What `with read_base():` imports from, as the text names them: ".._base_.rtmdet".
  std::vector<std::string> modules;
};
PythonBases FindBases(std::string_view text);

// `upper` over `lower` as mmengine merges a config over its bases: dicts key by key, unless the
// upper one says `_delete_=True`; everything else replaces.
PythonValue Merge(const PythonValue& upper, const PythonValue& lower);

// A copy whose lists and dicts are used once each, as mmengine makes of a base's values.
PythonValue Unshared(const PythonValue& value);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_CONFIG_PYTHON_CONFIG_H_
