// Loads a TorchScript module, feeds it one float32 tensor from a file, writes its first output.
//
//     torchscript_loader MODEL INPUT OUTPUT DIM...
#include <torch/script.h>

#include <fstream>
#include <iostream>
#include <iterator>
#include <vector>

int main(int argc, char **argv) {
  if (argc < 5) {
    std::cerr << "usage: torchscript_loader MODEL INPUT OUTPUT DIM...\n";
    return 2;
  }
  torch::jit::Module module = torch::jit::load(argv[1]);
  module.eval();
  std::vector<int64_t> shape;
  for (int index = 4; index < argc; ++index) {
    shape.push_back(std::stoll(argv[index]));
  }
  std::ifstream source(argv[2], std::ios::binary);
  std::vector<char> bytes((std::istreambuf_iterator<char>(source)), {});
  torch::Tensor input = torch::from_blob(bytes.data(), shape, torch::kFloat32).clone();
  c10::InferenceMode guard;
  torch::IValue result = module.forward({input});
  torch::Tensor output =
      (result.isTuple() ? result.toTuple()->elements().at(0).toTensor() : result.toTensor())
          .contiguous();
  std::ofstream sink(argv[3], std::ios::binary);
  sink.write(static_cast<const char *>(output.data_ptr()), output.nbytes());
  return sink.good() ? 0 : 1;
}
