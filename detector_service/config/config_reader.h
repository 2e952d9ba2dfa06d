// Reads the values of a config that the detector needs, and accounts for those that it doesn't.
//
// For each dict that is interpreted a table says what becomes of its keys. A key that no table
// knows may change the reference's answers, so it is warned about: the service never differs in
// silence.
#ifndef DUET_DETECTOR_SERVICE_CONFIG_CONFIG_READER_H_
#define DUET_DETECTOR_SERVICE_CONFIG_CONFIG_READER_H_

#include <absl/status/status.h>

#include <span>
#include <string>
#include <vector>

#include "detector_service/config/python_value.h"

namespace detector {

enum class KeyUse {
  kRead,        // what it says is done
  kMustBe,      // another value than those of `allowed` is refused
  kIrrelevant,  // does not change what a loaded detector answers
  kWarned,      // another value than those of `allowed` is not followed, and warned about
};

struct KeyRule {
  const char* key;
  KeyUse use;
  // A Python list of values. An absent key needs no rule: what the reference does without it is up
  // to who reads the dict.
  const char* allowed = "[]";
};

class ConfigReader {
 public:
  // The getters leave `out` alone if `value` is null or None. A value that is opaque, of another
  // type or out of range is a failure, in which `key` is named.
  void Number(const PythonValue* value, const std::string& key, double least, double most,
              double* out);
  void Int(const PythonValue* value, const std::string& key, int least, int most, int* out);
  void Bool(const PythonValue* value, const std::string& key, bool* out);
  void String(const PythonValue* value, const std::string& key, std::string* out);

  // The value, or null (with a failure) if it is opaque.
  const PythonValue* Known(const PythonValue* value, const std::string& key);
  // The dict's value of `key`, Known.
  const PythonValue* Get(const PythonValue& dict, const char* key, const std::string& where);

  // Accounts for the keys of `dict`, which is at `where` in the config. What is of `type`,
  // `_scope_` and `_delete_` needs no rule.
  void Check(const PythonValue& dict, const std::string& where, std::span<const KeyRule> rules);

  // Keeps the first failure, FailedPrecondition: "model config: what".
  void Fail(const std::string& what);
  void Warn(std::string what) { warnings_.push_back(std::move(what)); }

  const absl::Status& status() const { return status_; }
  // Where the reference would do something else, as sentences. In the order of reading.
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  absl::Status status_;
  std::vector<std::string> warnings_;
};

// The dict's type without the package that it is registered in or defined in: "mmdet.Pad" is "Pad".
// "" if it has none.
std::string TypeOf(const PythonValue& dict);

// The value as Python writes it, shortened: "'pillow'", "(640, 640)".
std::string Show(const PythonValue& value);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_CONFIG_CONFIG_READER_H_
