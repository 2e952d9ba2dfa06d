#include "detector_service/config/python_value.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include <algorithm>
#include <map>

namespace detector {

struct PythonValue::ListNode {
  List items;
  bool is_tuple = false;
  int height = 1;
  PythonValue opaque;  // None, or what this became
};

struct PythonValue::DictNode {
  Dict dict;
  int height = 1;
  PythonValue opaque;
};

PythonValue::PythonValue(List items, bool is_tuple) {
  int height = 1;
  for (const PythonValue& item : items) height = std::max(height, 1 + item.height());
  value_ = std::make_shared<ListNode>(ListNode{std::move(items), is_tuple, height, {}});
}

PythonValue::PythonValue(Dict dict) {
  int height = 1;
  for (const auto& [key, item] : dict) height = std::max(height, 1 + item.height());
  value_ = std::make_shared<DictNode>(DictNode{std::move(dict), height, {}});
}

PythonValue PythonValue::Opaque(std::string what, std::string symbol) {
  PythonValue value;
  value.value_ = std::make_shared<const OpaqueText>(OpaqueText{std::move(what), std::move(symbol)});
  return value;
}

const std::string* PythonValue::string() const {
  const auto* text = std::get_if<std::shared_ptr<const std::string>>(&value_);
  return text != nullptr ? text->get() : nullptr;
}

const PythonValue::List* PythonValue::list() const {
  const auto* node = std::get_if<std::shared_ptr<ListNode>>(&value_);
  return node != nullptr && (*node)->opaque.is_none() ? &(*node)->items : nullptr;
}

const PythonValue::Dict* PythonValue::dict() const {
  const auto* node = std::get_if<std::shared_ptr<DictNode>>(&value_);
  return node != nullptr && (*node)->opaque.is_none() ? &(*node)->dict : nullptr;
}

PythonValue::List* PythonValue::shared_list() { return const_cast<List*>(list()); }
PythonValue::Dict* PythonValue::shared_dict() { return const_cast<Dict*>(dict()); }

const std::string* PythonValue::opaque() const {
  if (const auto* text = std::get_if<std::shared_ptr<const OpaqueText>>(&value_)) {
    return &(*text)->what;
  }
  if (const auto* node = std::get_if<std::shared_ptr<ListNode>>(&value_)) {
    return (*node)->opaque.opaque();
  }
  if (const auto* node = std::get_if<std::shared_ptr<DictNode>>(&value_)) {
    return (*node)->opaque.opaque();
  }
  return nullptr;
}

const std::string* PythonValue::symbol() const {
  const auto* text = std::get_if<std::shared_ptr<const OpaqueText>>(&value_);
  return text != nullptr && !(*text)->symbol.empty() ? &(*text)->symbol : nullptr;
}

bool PythonValue::is_tuple() const {
  const auto* node = std::get_if<std::shared_ptr<ListNode>>(&value_);
  return node != nullptr && (*node)->is_tuple;
}

void PythonValue::BecomeOpaque(const std::string& what) {
  PythonValue opaque = Opaque(what);
  if (const auto* node = std::get_if<std::shared_ptr<ListNode>>(&value_)) {
    (*node)->opaque = opaque;
  } else if (const auto* node = std::get_if<std::shared_ptr<DictNode>>(&value_)) {
    (*node)->opaque = opaque;
  } else {
    *this = opaque;
  }
}

const void* PythonValue::identity() const {
  if (const auto* node = std::get_if<std::shared_ptr<ListNode>>(&value_)) return node->get();
  if (const auto* node = std::get_if<std::shared_ptr<DictNode>>(&value_)) return node->get();
  return nullptr;
}

int PythonValue::height() const {
  if (const auto* node = std::get_if<std::shared_ptr<ListNode>>(&value_)) return (*node)->height;
  if (const auto* node = std::get_if<std::shared_ptr<DictNode>>(&value_)) return (*node)->height;
  return 0;
}

bool PythonValue::number(double* out) const {
  if (const std::int64_t* i = integer()) {
    *out = static_cast<double>(*i);
    return true;
  }
  if (const double* d = real()) {
    *out = *d;
    return true;
  }
  return false;
}

const PythonValue* PythonValue::Find(std::string_view key) const {
  if (opaque() != nullptr) return this;
  const Dict* entries = dict();
  if (entries == nullptr) return nullptr;
  for (auto it = entries->items.rbegin(); it != entries->items.rend(); ++it) {
    if (it->first == key) return &it->second;
  }
  return entries->rest.is_none() ? nullptr : &entries->rest;
}

const PythonValue* PythonValue::Find(std::initializer_list<std::string_view> path) const {
  const PythonValue* value = this;
  for (std::string_view key : path) {
    if (value == nullptr) return nullptr;
    value = value->Find(key);
  }
  return value;
}

void PythonValue::Dict::Set(const std::string& key, PythonValue value) {
  std::erase_if(items, [&](const Item& item) { return item.first == key; });
  items.emplace_back(key, std::move(value));
}

std::string Canonical(const PythonValue& value) {
  // The length in front: a text may hold anything.
  const auto quoted = [](const std::string& text) {
    return absl::StrCat(text.size(), "'", text, "'");
  };
  if (value.is_none()) return "None";
  if (const std::string* what = value.opaque()) return absl::StrCat("?", quoted(*what));
  if (const bool* flag = value.boolean()) return *flag ? "True" : "False";
  if (const std::int64_t* integer = value.integer()) return std::to_string(*integer);
  if (const double* number = value.real()) {
    return absl::StrFormat("%.17g.", *number);  // the point tells it from a whole number
  }
  if (const std::string* text = value.string()) return quoted(*text);
  std::string all;
  if (const PythonValue::List* list = value.list()) {
    for (const PythonValue& item : *list) all += Canonical(item) + ",";
    return "[" + all + "]";
  }
  std::map<std::string_view, const PythonValue*> by_key;
  for (const auto& [key, item] : *value.dict()) by_key[key] = &item;  // the last one counts
  for (const auto& [key, item] : by_key) {
    all += quoted(std::string(key)) + ":" + Canonical(*item) + ",";
  }
  if (!value.dict()->rest.is_none()) all += "**" + Canonical(value.dict()->rest) + ",";
  return "{" + all + "}";
}

}  // namespace detector
