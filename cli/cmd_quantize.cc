// fettle quantize.
#include <fmt/format.h>

#include <memory>

#include "base/error.h"
#include "cli/app.h"
#include "compress/manifest.h"
#include "compress/quantize/cast.h"
#include "compress/quantize/dynamic.h"

namespace fettle::cli {

namespace {

struct QuantizeCommand {
  std::string model;
  std::string method = "dynamic";
  QuantizeOptions options;
  std::string out;
};

int run_quantize(const QuantizeCommand& command, const Globals& globals) {
  refuse_existing(command.out, globals);
  Model model = load_model(resolve_model(command.model));
  const bool dynamic = command.method == "dynamic";
  const QuantizeReport report = dynamic ? quantize_dynamic(model, command.options)
                                        : cast_parameters(model, command.method == "bf16" ? DType::kBF16 : DType::kF16);
  record_step(model, "quantize", Json{{"method", command.method}, {"embeddings", command.options.embeddings}},
              globals.seed);
  save_model(model, command.out, globals.force);
  if (globals.json) {
    Json layers = Json::array();
    for (const LayerQuantization& layer : report.layers) {
      layers.push_back(Json{{"name", layer.name},
                            {"encoding", layer.encoding},
                            {"shape", layer.shape},
                            {"rmse", layer.rmse},
                            {"cosine", layer.cosine}});
    }
    print_json(Json{{"size_mb_before", report.size_mb_before},
                    {"size_mb", report.size_mb},
                    {"bits_per_weight", report.bits_per_weight},
                    {"layers", std::move(layers)},
                    {"path", command.out}});
    return 0;
  }
  std::string text;
  for (const LayerQuantization& layer : report.layers) {
    text += fmt::format("{:<58} {:<14} {:<14} rmse {:.2e}  cosine {:.6f}\n", layer.name, shape_to_string(layer.shape),
                        layer.encoding, layer.rmse, layer.cosine);
  }
  print(text + fmt::format("{:.2f} -> {:.2f} MiB, {:.2f} bits a weight; wrote {}\n", report.size_mb_before,
                           report.size_mb, report.bits_per_weight, command.out));
  return 0;
}

}  // namespace

void add_quantize(Program& program) {
  auto command = std::make_shared<QuantizeCommand>();
  CLI::App* verb = program.add_verb("quantize", "store and compute weights as integers",
                                    [command, &program] { return run_quantize(*command, program.globals()); });
  verb->add_option("model", command->model, "model folder")->required();
  verb->add_option("--method", command->method, "dynamic (int8), bf16, f16")
      ->check(CLI::IsMember({"dynamic", "bf16", "f16"}));
  verb->add_flag("--embeddings", command->options.embeddings, "embedding tables too");
  verb->add_option("--out", command->out, "folder to write")->required();
}

}  // namespace fettle::cli
