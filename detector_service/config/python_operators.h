// Python's operators on values that are known. Internal to config.
#ifndef DUET_DETECTOR_SERVICE_CONFIG_PYTHON_OPERATORS_H_
#define DUET_DETECTOR_SERVICE_CONFIG_PYTHON_OPERATORS_H_

#include <cstdint>
#include <optional>
#include <string_view>

#include "detector_service/config/python_value.h"

namespace detector {

// As bool(); absent if it is opaque.
std::optional<bool> Truth(const PythonValue& value);
// Of an integer or a boolean; absent for all else.
std::optional<std::int64_t> AsInteger(const PythonValue& value);
// Of any number; absent for all else.
std::optional<double> AsReal(const PythonValue& value);

// `left op right` of two numbers, as "+" and "//"; absent for all else, and where Python raises or
// needs more than 64 bits.
std::optional<PythonValue> Arithmetic(std::string_view op, const PythonValue& left,
                                      const PythonValue& right);
// Of "==", "<" and the like; absent where the answer isn't certain.
std::optional<PythonValue> Compare(std::string_view op, const PythonValue& left,
                                   const PythonValue& right);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_CONFIG_PYTHON_OPERATORS_H_
