#include "nn/module_path.h"

#include <algorithm>
#include <string>
#include <utility>

namespace nn {

torch::nn::Module& ModuleAt(torch::nn::Module& root, std::string_view path) {
  torch::nn::Module* module = &root;
  while (!path.empty()) {
    const std::string name(path.substr(0, path.find('.')));
    path.remove_prefix(std::min(name.size() + 1, path.size()));
    const auto children = module->named_children();
    const std::shared_ptr<torch::nn::Module>* child = children.find(name);
    module = child != nullptr
                 ? child->get()
                 : module->register_module(name, std::make_shared<torch::nn::Module>()).get();
  }
  return *module;
}

void RegisterAt(torch::nn::Module& root, std::string_view path,
                std::shared_ptr<torch::nn::Module> module) {
  const std::size_t dot = path.rfind('.');
  const bool nested = dot != std::string_view::npos;
  ModuleAt(root, nested ? path.substr(0, dot) : "")
      .register_module(std::string(nested ? path.substr(dot + 1) : path), std::move(module));
}

}  // namespace nn
