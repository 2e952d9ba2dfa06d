#include "detector_service/config/config_reader.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "detector_service/config/python_config.h"

namespace detector {
namespace {

constexpr std::size_t kMaxShown = 60;

PythonValue Literal(const char* text) {
  const PythonConfig parsed = ParsePythonConfig(absl::StrCat("value = ", text));
  return *parsed.values.Find("value");
}

// As Python's ==: 1 is 1.0, and a list is taken for the tuple of its items.
bool Equal(const PythonValue& a, const PythonValue& b) {
  double x = 0, y = 0;
  if (a.number(&x) && b.number(&y)) return x == y;
  if (a.list() != nullptr && b.list() != nullptr) {
    return a.list()->size() == b.list()->size() &&
           std::equal(a.list()->begin(), a.list()->end(), b.list()->begin(), Equal);
  }
  return a.opaque() == nullptr && Canonical(a) == Canonical(b);
}

std::string ShowAllowed(const PythonValue::List& allowed) {
  std::string shown;
  for (const PythonValue& value : allowed) {
    absl::StrAppend(&shown, shown.empty() ? "" : " or ", Show(value));
  }
  return shown;
}

}  // namespace

std::string TypeOf(const PythonValue& dict) {
  const PythonValue* type = dict.Find("type");
  if (type == nullptr) return "";
  const std::string* name = type->string() != nullptr ? type->string() : type->symbol();
  return name != nullptr ? name->substr(name->rfind('.') + 1) : "";
}

std::string Show(const PythonValue& value) {
  std::string shown;
  if (value.is_none()) return "None";
  if (const std::string* what = value.opaque()) return *what;
  double number = 0;
  if (value.boolean() != nullptr) return *value.boolean() ? "True" : "False";
  if (value.number(&number)) return absl::StrFormat("%.12g", number);
  if (value.string() != nullptr) {
    shown = absl::StrCat("'", *value.string(), "'");
  } else if (value.list() != nullptr) {
    for (const PythonValue& item : *value.list()) {
      absl::StrAppend(&shown, shown.empty() ? "" : ", ", Show(item));
      if (shown.size() > kMaxShown) break;
    }
    shown = absl::StrCat("(", shown, ")");
  } else {
    const std::string type = TypeOf(value);
    shown = type.empty() ? "dict(…)" : absl::StrCat("dict(type='", type, "', …)");
  }
  if (shown.size() <= kMaxShown) return shown;
  std::size_t length = kMaxShown;
  while (length > 0 && (shown[length] & 0xC0) == 0x80) --length;
  return shown.substr(0, length) + "…";
}

void ConfigReader::Fail(const std::string& what) {
  if (status_.ok()) status_ = absl::FailedPreconditionError(absl::StrCat("model config: ", what));
}

const PythonValue* ConfigReader::Known(const PythonValue* value, const std::string& key) {
  if (value == nullptr || value->opaque() == nullptr) return value;
  Fail(absl::StrCat("'", key, "' is needed, but its value is not understood (", *value->opaque(),
                    "): write the value itself, or give another config with --config_file"));
  return nullptr;
}

const PythonValue* ConfigReader::Get(const PythonValue& dict, const char* key,
                                     const std::string& where) {
  return Known(dict.Find(key), absl::StrCat(where, where.empty() ? "" : " ", key));
}

void ConfigReader::Number(const PythonValue* value, const std::string& key, double least,
                          double most, double* out) {
  value = Known(value, key);
  if (value == nullptr || value->is_none()) return;
  double number = 0;
  if (!value->number(&number) || !(number >= least && number <= most)) {
    return Fail(absl::StrFormat("%s must be a number from %g to %g, not %s", key, least, most,
                                Show(*value)));
  }
  *out = number;
}

void ConfigReader::Int(const PythonValue* value, const std::string& key, int least, int most,
                       int* out) {
  double number = *out;
  Number(value, key, least, most, &number);
  if (number != std::floor(number)) return Fail(absl::StrCat(key, " must be a whole number"));
  *out = static_cast<int>(number);
}

void ConfigReader::Bool(const PythonValue* value, const std::string& key, bool* out) {
  value = Known(value, key);
  if (value == nullptr || value->is_none()) return;
  if (value->boolean() == nullptr) {
    return Fail(absl::StrCat(key, " must be True or False, not ", Show(*value)));
  }
  *out = *value->boolean();
}

void ConfigReader::String(const PythonValue* value, const std::string& key, std::string* out) {
  value = Known(value, key);
  if (value == nullptr || value->is_none()) return;
  if (value->string() == nullptr) {
    return Fail(absl::StrCat(key, " must be a text, not ", Show(*value)));
  }
  *out = *value->string();
}

void ConfigReader::Check(const PythonValue& dict, const std::string& where,
                         std::span<const KeyRule> rules) {
  if (dict.opaque() != nullptr) {
    Known(&dict, where);
    return;
  }
  if (dict.dict() == nullptr) return;
  for (const auto& [key, value] : *dict.dict()) {
    if (key == "type" || key == "_scope_" || key == "_delete_") continue;
    const auto rule =
        std::find_if(rules.begin(), rules.end(), [&](const KeyRule& r) { return key == r.key; });
    if (rule == rules.end()) {
      Warn(absl::StrCat(where, " ", key, " = ", Show(value),
                        " is not known and not followed: answers may differ from the reference's"));
      continue;
    }
    if (rule->use != KeyUse::kMustBe && rule->use != KeyUse::kWarned) continue;
    const PythonValue allowed = Literal(rule->allowed);
    if (rule->use == KeyUse::kMustBe && Known(&value, absl::StrCat(where, " ", key)) == nullptr) {
      continue;
    }
    const bool fits = std::any_of(allowed.list()->begin(), allowed.list()->end(),
                                  [&](const PythonValue& one) { return Equal(value, one); });
    if (fits) continue;
    if (rule->use == KeyUse::kMustBe) {
      Fail(absl::StrCat(where, " ", key, " = ", Show(value), " is not supported, only ",
                        ShowAllowed(*allowed.list())));
    } else {
      Warn(absl::StrCat(where, " ", key, " = ", Show(value), " is not followed, but taken for ",
                        ShowAllowed(*allowed.list()), ": answers may differ from the reference's"));
    }
  }
  // Opaque parts may hold any key.
  if (!dict.dict()->rest.is_none()) Known(&dict.dict()->rest, where);
}

}  // namespace detector
