#include "serving/flags.h"

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include <algorithm>
#include <set>
#include <stdexcept>

#include "serving/log.h"
#include "text/nearest_name.h"

namespace serving {
namespace {

// Breaks text into lines of at most `width` columns, each after `indent` spaces.
std::string Wrapped(const std::string& text, int indent, int width) {
  std::string out;
  std::string line;
  auto flush = [&] {
    if (!line.empty()) absl::StrAppend(&out, std::string(indent, ' '), line, "\n");
    line.clear();
  };
  std::size_t at = 0;
  while (at < text.size()) {
    std::size_t end = std::min(text.find(' ', at), text.size());
    if (!line.empty() && indent + line.size() + 1 + (end - at) > static_cast<std::size_t>(width)) {
      flush();
    }
    if (!line.empty()) line += ' ';
    line.append(text, at, end - at);
    at = end + 1;
  }
  flush();
  return out;
}

std::string VariableOf(std::string_view name) {
  return "DUET_" + absl::AsciiStrToUpper({name.data(), name.size()});
}

}  // namespace

void FlagTable::AddFlag(Flag flag) {
  if (Find(flag.name) != nullptr) throw std::logic_error("flag added twice: --" + flag.name);
  flag.variable = VariableOf(flag.name);
  flags_.push_back(std::move(flag));
}

void FlagTable::Renamed(std::string_view former_name, std::string_view name) {
  if (Find(former_name) != nullptr) {
    throw std::logic_error("flag added twice: --" + std::string(former_name));
  }
  Flag* const flag = Find(name);
  if (flag == nullptr) throw std::logic_error("unknown flag: --" + std::string(name));
  flag->former_names.emplace_back(former_name);
}

FlagTable::Flag* FlagTable::Find(std::string_view name) {
  for (Flag& flag : flags_) {
    const auto& former = flag.former_names;
    if (flag.name == name || std::find(former.begin(), former.end(), name) != former.end()) {
      return &flag;
    }
  }
  return nullptr;
}

absl::Status FlagTable::Set(const Flag& flag, const std::string& given, const std::string& text) {
  const std::string why = flag.set(text);
  if (why.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(given, "=", text, ": ", why));
}

absl::Status FlagTable::Parse(int argc, const char* const* argv, const Environment& environment) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--help" || argument == "--help=json") {
      help_requested_ = true;
      json_requested_ = argument == "--help=json";
      return absl::OkStatus();
    }
  }
  warnings_.clear();
  const auto warn = [this](const std::string& former, const std::string& now) {
    warnings_.push_back(
        absl::StrCat(former, " is now ", now, "; the next release won't know the former name"));
  };
  std::set<const Flag*> given;
  for (const Flag& flag : flags_) {
    std::vector<std::string> variables = {flag.variable};  // the first one that is set counts
    for (const std::string& name : flag.former_names) variables.push_back(VariableOf(name));
    for (const std::string& variable : variables) {
      const char* text = environment(variable.c_str());
      if (text == nullptr || *text == '\0') continue;
      if (absl::Status set = Set(flag, variable, text); !set.ok()) return set;
      if (variable != flag.variable) warn(variable, flag.variable);
      given.insert(&flag);
      break;
    }
  }
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.size() < 3 || argument.compare(0, 2, "--") != 0) {
      const std::string_view before = argv[i - 1];
      if (i > 1 && before.ends_with('=')) {  // what follows may be a secret
        return absl::InvalidArgumentError(absl::StrCat(
            "unexpected argument after '", std::string(before), "': no space follows the '='"));
      }
      return absl::InvalidArgumentError(
          absl::StrCat("unexpected argument '", argument, "': flags look like --name=value"));
    }
    const std::size_t equals = argument.find('=');
    std::string name = argument.substr(2, equals == std::string::npos ? equals : equals - 2);
    Flag* flag = Find(name);
    std::string text;
    if (flag == nullptr && equals == std::string::npos && name.compare(0, 2, "no") == 0 &&
        Find(name.substr(2)) != nullptr && Find(name.substr(2))->is_bool) {
      name = name.substr(2);
      flag = Find(name);
      text = "false";
    } else if (flag == nullptr) {
      std::vector<std::string_view> names;
      for (const Flag& known : flags_) names.push_back(known.name);
      return absl::InvalidArgumentError(absl::StrCat("unknown flag --", name, " (see --help)",
                                                     text::DidYouMean(name, names, "--", "")));
    } else if (equals != std::string::npos) {
      text = argument.substr(equals + 1);
    } else if (flag->is_bool) {
      text = "true";
    } else if (i + 1 < argc) {
      text = argv[++i];
    } else {
      return absl::InvalidArgumentError(absl::StrCat("--", name, " needs a value"));
    }
    const std::string spelled = absl::StrCat("--", name);
    if (absl::Status set = Set(*flag, spelled, text); !set.ok()) return set;
    if (name != flag->name) warn(spelled, absl::StrCat("--", flag->name));
    given.insert(flag);
  }
  for (const Flag& flag : flags_) {
    if (flag.required && !given.contains(&flag)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--", flag.name, " (or ", flag.variable, ") must be given (see --help)"));
    }
  }
  return absl::OkStatus();
}

std::string FlagTable::Help() const {
  std::string out = absl::StrCat(program_, ": ", purpose_, "\n\nFlags:\n");
  for (const Flag& flag : flags_) {
    const std::string shown = flag.required               ? "required"
                              : flag.default_text.empty() ? "default: none"
                                                          : "default: " + flag.default_text;
    absl::StrAppend(&out, "  --", flag.name, flag.is_bool ? "" : "=VALUE", "  (", shown,
                    "; env: ", flag.variable, ")\n", Wrapped(flag.help, 6, 100));
  }
  absl::StrAppend(&out,
                  "  --help\n      Prints this and exits; --help=json prints it as JSON.\n"
                  "  --version\n      Prints the version and exits.\n");
  return out;
}

std::string FlagTable::HelpAsJson() const {
  std::vector<std::string> flags;
  for (const Flag& flag : flags_) {
    const LogFields fields = LogFields()
                                 .Str("name", flag.name)
                                 .Str("default", flag.default_text)
                                 .Bool("required", flag.required)
                                 .Str("variable", flag.variable)
                                 .Str("help", flag.help);
    const std::string former = flag.former_names.empty()
                                   ? ""
                                   : absl::StrCat(",\"former_names\":[\"",
                                                  absl::StrJoin(flag.former_names, "\",\""), "\"]");
    flags.push_back(absl::StrCat("{", fields.text(), former, "}"));
  }
  return absl::StrCat("{", LogFields().Str("program", program_).Str("purpose", purpose_).text(),
                      ",\"flags\":[", absl::StrJoin(flags, ","), "]}\n");
}

namespace {

template <typename T>
FlagCheck<T> Within(T least, T most) {
  return [=](const T& value) -> std::string {
    if (least <= value && value <= most) return "";
    return absl::StrCat("must be from ", least, " to ", most);
  };
}

}  // namespace

FlagCheck<int> InRange(int least, int most) { return Within(least, most); }
FlagCheck<double> InRange(double least, double most) { return Within(least, most); }

FlagCheck<std::string> OneOf(std::vector<std::string> choices) {
  return [choices = std::move(choices)](const std::string& value) -> std::string {
    if (std::find(choices.begin(), choices.end(), value) != choices.end()) return "";
    return absl::StrCat("must be one of ", absl::StrJoin(choices, ", "));
  };
}

}  // namespace serving
