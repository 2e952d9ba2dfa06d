// Splits a Python text into tokens and logical lines.
#ifndef DUET_DETECTOR_SERVICE_CONFIG_PYTHON_TOKENS_H_
#define DUET_DETECTOR_SERVICE_CONFIG_PYTHON_TOKENS_H_

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "detector_service/config/python_value.h"

namespace detector {

struct PythonToken {
  enum class Kind { kName, kNumber, kString, kOperator, kEndOfLine };
  Kind kind = Kind::kEndOfLine;
  std::string_view text;  // in the Python text
  int line = 0;           // from 1
  PythonValue value;      // kNumber, kString; opaque if it is of a kind that has no PythonValue

  bool Is(std::string_view operator_text) const {
    return kind == Kind::kOperator && text == operator_text;
  }
  bool IsName(std::string_view name) const { return kind == Kind::kName && text == name; }
};

// What stands between two line ends outside of brackets; or between semicolons.
struct PythonLine {
  bool indented = false;
  std::vector<PythonToken> tokens;  // not empty; the last one is kEndOfLine
};

struct PythonLines {
  std::vector<PythonLine> lines;
  // Where the text stops to be Python (a bracket or a string without end), "line 12: …"; else
  // empty. The lines are those before; the last one may be the beginning of what is broken.
  std::string broken;
};

// The tokens point into `text`.
PythonLines SplitPython(std::string_view text);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_CONFIG_PYTHON_TOKENS_H_
