#include "detector_service/config/python_operators.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "detector_service/config/python_config.h"

namespace detector {

std::optional<bool> Truth(const PythonValue& value) {
  double number = 0;
  if (value.opaque() != nullptr) return std::nullopt;
  if (value.is_none()) return false;
  if (value.boolean() != nullptr) return *value.boolean();
  if (value.number(&number)) return number != 0;
  if (value.string() != nullptr) return !value.string()->empty();
  if (value.list() != nullptr) return !value.list()->empty();
  if (!value.dict()->rest.is_none()) return std::nullopt;
  return !value.dict()->empty();
}

std::optional<std::int64_t> AsInteger(const PythonValue& value) {
  if (value.integer() != nullptr) return *value.integer();
  if (value.boolean() != nullptr) return *value.boolean() ? 1 : 0;
  return std::nullopt;
}

std::optional<double> AsReal(const PythonValue& value) {
  if (value.real() != nullptr) return *value.real();
  if (const auto integer = AsInteger(value)) return static_cast<double>(*integer);
  return std::nullopt;
}

namespace {

std::optional<std::int64_t> FloorDivide(std::int64_t a, std::int64_t b) {
  if (b == 0 || (b == -1 && a == std::numeric_limits<std::int64_t>::min())) return std::nullopt;
  return a / b - ((a % b != 0 && (a < 0) != (b < 0)) ? 1 : 0);
}

std::optional<std::int64_t> IntegerPower(std::int64_t base, std::int64_t exponent) {
  if (exponent < 0 || exponent > 64) return std::nullopt;
  std::int64_t power = 1;
  for (; exponent > 0; --exponent) {
    if (__builtin_mul_overflow(power, base, &power)) return std::nullopt;
  }
  return power;
}

// Absent where Python would raise, or give an integer that doesn't fit.
std::optional<PythonValue> IntegerArithmetic(std::string_view op, std::int64_t a, std::int64_t b) {
  std::int64_t out = 0;
  if (op == "+" && !__builtin_add_overflow(a, b, &out)) return PythonValue(out);
  if (op == "-" && !__builtin_sub_overflow(a, b, &out)) return PythonValue(out);
  if (op == "*" && !__builtin_mul_overflow(a, b, &out)) return PythonValue(out);
  if (op == "|") return PythonValue(a | b);
  if (op == "&") return PythonValue(a & b);
  if (op == "^") return PythonValue(a ^ b);
  if (op == "<<" && b >= 0 && b < 62 && !__builtin_mul_overflow(a, std::int64_t{1} << b, &out)) {
    return PythonValue(out);
  }
  if (op == ">>" && b >= 0 && b < 63) return PythonValue(a >> b);
  if (op == "//" || op == "%") {
    const auto quotient = FloorDivide(a, b);
    if (!quotient) return std::nullopt;
    return PythonValue(op == "//" ? *quotient : a - *quotient * b);
  }
  if (op == "**" && b >= 0) {
    const auto power = IntegerPower(a, b);
    return power ? std::optional(PythonValue(*power)) : std::nullopt;
  }
  return std::nullopt;
}

std::optional<PythonValue> RealArithmetic(std::string_view op, double a, double b) {
  double out = std::numeric_limits<double>::quiet_NaN();
  if (op == "+") out = a + b;
  if (op == "-") out = a - b;
  if (op == "*") out = a * b;
  if (op == "/" && b != 0) out = a / b;
  if ((op == "//" || op == "%") && b != 0) {
    double rest = std::fmod(a, b);
    if (rest != 0 && (b < 0) != (rest < 0)) rest += b;
    const double quotient = (a - rest) / b;
    double whole = std::floor(quotient);
    if (quotient - whole > 0.5) whole += 1;
    out = op == "%" ? rest : whole;
  }
  if (op == "**") out = std::pow(a, b);
  if (std::isnan(out) || (std::isinf(out) && !std::isinf(a) && !std::isinf(b))) return std::nullopt;
  return PythonValue(out);
}

}  // namespace

std::optional<PythonValue> Arithmetic(std::string_view op, const PythonValue& left,
                                      const PythonValue& right) {
  const auto a = AsInteger(left), b = AsInteger(right);
  if (a && b && op != "/" && !(op == "**" && *b < 0)) return IntegerArithmetic(op, *a, *b);
  // Beyond this a double is not the integer, and Python divides integers exactly.
  constexpr std::int64_t kExact = std::int64_t{1} << 53;
  for (const auto& integer : {a, b}) {
    if (integer && (*integer > kExact || *integer < -kExact)) return std::nullopt;
  }
  const auto x = AsReal(left), y = AsReal(right);
  return x && y ? RealArithmetic(op, *x, *y) : std::nullopt;
}

std::optional<PythonValue> Compare(std::string_view op, const PythonValue& left,
                                   const PythonValue& right) {
  const auto decide = [&](const auto& a, const auto& b) -> std::optional<PythonValue> {
    if (op == "==") return PythonValue(a == b);
    if (op == "!=") return PythonValue(a != b);
    if (op == "<") return PythonValue(a < b);
    if (op == "<=") return PythonValue(a <= b);
    if (op == ">") return PythonValue(a > b);
    if (op == ">=") return PythonValue(a >= b);
    return std::nullopt;
  };
  const auto x = AsReal(left), y = AsReal(right);
  if (x && y) return decide(*x, *y);
  if (left.string() != nullptr && right.string() != nullptr) {
    return decide(*left.string(), *right.string());
  }
  return std::nullopt;
}

}  // namespace detector
