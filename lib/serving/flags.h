// The command line of a process: one table that parses `--name=value`, falls back to the
// environment and prints `--help`, over the plain struct that holds the options.
//
// A default is what the struct's field holds when it is added, so it is written once:
//
//   struct DetectorOptions { std::string checkpoint; int threads = 0; };
//   DetectorOptions options;
//   serving::FlagTable flags("duet-detector", "Finds objects in images.");
//   flags.Required("checkpoint", &options.checkpoint, "The weights: .pth or .safetensors.");
//   flags.Add("threads", &options.threads, "Compute threads; 0: as many as the process has CPUs.",
//             InRange(0, 1024));
//
// Priority: command line, then DUET_<NAME> in the environment (upper case; an empty variable counts
// as unset), then the default. Parsing of values is Abseil's (absl/flags/marshalling.h): bool, int,
// double, std::string, std::vector<std::string> (commas), absl::Duration ("1500ms"), or any type
// with AbslParseFlag. Abseil's own flag globals are not used (docs/adr/0201-flag-table.md).
#ifndef DUET_SERVING_FLAGS_H_
#define DUET_SERVING_FLAGS_H_

#include <absl/flags/marshalling.h>
#include <absl/status/status.h>

#include <functional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace serving {

// Says what is wrong with a value ("must be from 1 to 8"), or "" if nothing is.
template <typename T>
using FlagCheck = std::function<std::string(const T&)>;

class FlagTable {
 public:
  // Returns an environment variable's value, or null.
  using Environment = std::function<const char*(const char* name)>;

  // `purpose`: one sentence for --help.
  FlagTable(std::string program, std::string purpose)
      : program_(std::move(program)), purpose_(std::move(purpose)) {}

  // Adds --name. `value` holds the default and must outlive the table. REQUIRES: `name` is new,
  // lower_snake_case.
  template <typename T>
  void Add(std::string_view name, T* value, std::string_view help,
           std::type_identity_t<FlagCheck<T>> check = nullptr);

  // As Add, for a flag without a usable default: Parse fails unless it is given.
  template <typename T>
  void Required(std::string_view name, T* value, std::string_view help,
                std::type_identity_t<FlagCheck<T>> check = nullptr) {
    Add(name, value, help, std::move(check));
    flags_.back().required = true;
  }

  // Takes `former_name` as another spelling of the flag `name`, on the command line and as a
  // variable, for the release after a renaming. The former variable isn't looked at if the new one
  // is set. On the command line, which wins over both, the last spelling counts. Help doesn't show
  // it, but the JSON does. REQUIRES: `name` was added, `former_name` is new.
  void Renamed(std::string_view former_name, std::string_view name);

  // Fills the fields. InvalidArgument, in one line that names the flag or variable, what was found
  // and what is needed. `--name=value`, `--name value`, for bools `--name` and `--noname`. `--help`
  // or `--help=json` anywhere makes help_requested() true and the rest is not looked at.
  absl::Status Parse(int argc, const char* const* argv, const Environment& environment);

  bool help_requested() const { return help_requested_; }

  // After Parse: one sentence for each former name that was used.
  const std::vector<std::string>& warnings() const { return warnings_; }

  // What the help that was requested prints: Help() or HelpAsJson().
  std::string RequestedHelp() const { return json_requested_ ? HelpAsJson() : Help(); }

  // What --help prints: every flag with its help, default and variable, in the order of Add.
  std::string Help() const;

  // What --help=json prints, for programs. All values are strings, but for `required`, and for
  // `former_names`, which only renamed flags have:
  //   {"program":"…","purpose":"…","flags":[{"name":"port","default":"8003",
  //    "required":false,"variable":"DUET_PORT","help":"…"},…,{…,"former_names":["…"]}]}
  std::string HelpAsJson() const;

  const std::string& program() const { return program_; }

 private:
  struct Flag {
    std::string name;
    std::string variable;  // DUET_<NAME>
    std::vector<std::string> former_names;
    std::string help;
    std::string default_text;
    bool is_bool = false;
    bool required = false;
    // Returns what is wrong with the text, or "".
    std::function<std::string(const std::string& text)> set;
  };

  void AddFlag(Flag flag);
  // By its name or a former one; null if there is none.
  Flag* Find(std::string_view name);
  // What is wrong with `text`, or OK. `given`: how the flag was spelled, "--port" or "DUET_PORT".
  static absl::Status Set(const Flag& flag, const std::string& given, const std::string& text);

  std::string program_;
  std::string purpose_;
  std::vector<Flag> flags_;
  std::vector<std::string> warnings_;
  bool help_requested_ = false;
  bool json_requested_ = false;
};

// Checks for Add.
FlagCheck<int> InRange(int least, int most);
FlagCheck<double> InRange(double least, double most);
FlagCheck<std::string> OneOf(std::vector<std::string> choices);

template <typename T>
void FlagTable::Add(std::string_view name, T* value, std::string_view help,
                    std::type_identity_t<FlagCheck<T>> check) {
  AddFlag({.name = std::string(name),
           .help = std::string(help),
           .default_text = absl::UnparseFlag(*value),
           .is_bool = std::is_same_v<T, bool>,
           .set = [value, check = std::move(check)](const std::string& text) -> std::string {
             T parsed = *value;
             std::string error;
             if (!absl::ParseFlag(text, &parsed, &error)) {
               if (!error.empty()) return error;
               if (std::is_same_v<T, bool>) return "must be true or false";
               if (std::is_integral_v<T>) return "must be a whole number";
               if (std::is_floating_point_v<T>) return "must be a number";
               return "cannot be read";
             }
             if (check) {
               if (std::string wrong = check(parsed); !wrong.empty()) return wrong;
             }
             *value = std::move(parsed);
             return "";
           }});
}

}  // namespace serving

#endif  // DUET_SERVING_FLAGS_H_
