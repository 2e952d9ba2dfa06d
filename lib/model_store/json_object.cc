#include "model_store/json_object.h"

#include <absl/status/status.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "text/str_cat.h"
#include "text/utf8.h"

namespace model_store {
namespace {

namespace json = boost::json;

// The field's value; null if it is absent.
const json::value* Find(const json::object& object, std::string_view field) {
  return object.if_contains({field.data(), field.size()});
}

absl::Status IsNo(std::string_view field, std::string_view needed) {
  return absl::DataLossError(text::StrCat("'", field, "' is no ", needed));
}

}  // namespace

absl::StatusOr<json::object> ParseObject(std::string_view text) {
  json::error_code error;
  json::value value = json::parse({text.data(), text.size()}, error);
  if (error) return absl::DataLossError(text::StrCat("is no JSON: ", error.message()));
  if (!value.is_object()) return absl::DataLossError("is no JSON object");
  return std::move(value.get_object());
}

absl::Status ReadField(const json::object& object, std::string_view field, std::uint64_t* value) {
  const json::value* const found = Find(object, field);
  if (found == nullptr) return absl::OkStatus();
  if (const std::uint64_t* const number = found->if_uint64()) {
    *value = *number;
  } else if (const std::int64_t* const small = found->if_int64(); small != nullptr && *small >= 0) {
    *value = static_cast<std::uint64_t>(*small);
  } else {
    return IsNo(field, "whole number of 64 bits");
  }
  return absl::OkStatus();
}

absl::Status ReadField(const json::object& object, std::string_view field, std::string* value) {
  const json::value* const found = Find(object, field);
  if (found == nullptr) return absl::OkStatus();
  if (!found->is_string()) return IsNo(field, "text");
  value->assign(found->get_string().data(), found->get_string().size());
  return absl::OkStatus();
}

absl::Status ReadField(const json::object& object, std::string_view field, double* value) {
  const json::value* const found = Find(object, field);
  if (found == nullptr) return absl::OkStatus();
  json::error_code error;
  const auto number = found->to_number<double>(error);
  if (error || !(number >= 0 && number <= 1)) return IsNo(field, "number from 0 to 1");
  *value = number;
  return absl::OkStatus();
}

absl::Status ReadField(const json::object& object, std::string_view field, bool* value) {
  const json::value* const found = Find(object, field);
  if (found == nullptr) return absl::OkStatus();
  if (!found->is_bool()) return IsNo(field, "true or false");
  *value = found->get_bool();
  return absl::OkStatus();
}

void ObjectWriter::AddJson(std::string_view field, std::string_view json) {
  text::StrAppend(&text_, text_.size() == 1 ? "\n" : ",\n", Quoted(field), ": ", json);
}

void ObjectWriter::Add(std::string_view field, std::string_view value) {
  AddJson(field, Quoted(value));
}

void ObjectWriter::Add(std::string_view field, std::uint64_t value) {
  AddJson(field, text::StrCat(value));
}

std::string ObjectWriter::Finish() {
  text_.append("\n}\n");
  return std::move(text_);
}

std::string Quoted(std::string_view text) {
  return json::serialize(json::value(json::string(text::ToUtf8(text))));
}

}  // namespace model_store
