// Modules at dotted paths, for models whose names don't follow their structure.
#ifndef DUET_NN_MODULE_PATH_H_
#define DUET_NN_MODULE_PATH_H_

#include <torch/nn/module.h>

#include <memory>
#include <string_view>

namespace nn {

// The module at `path` ("neck.reduce_layers.2") below `root`, which is made, with those on the way
// to it, where there is none. An empty path is `root` itself.
torch::nn::Module& ModuleAt(torch::nn::Module& root, std::string_view path);

// Registers `module` at `path`, where none may be. Its state's names then begin with the path.
void RegisterAt(torch::nn::Module& root, std::string_view path,
                std::shared_ptr<torch::nn::Module> module);

}  // namespace nn

#endif  // DUET_NN_MODULE_PATH_H_
