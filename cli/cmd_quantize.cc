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
  int bits = 0;  // 0: what the method has by itself
  int group_size = 0;
  bool embeddings = false;
  std::string out;
};

bool is_cast(const QuantizeCommand& command) {
  return command.method == "bf16" || command.method == "f16";
}

QuantizeOptions quantize_options(const QuantizeCommand& command) {
  QuantizeOptions options;
  const bool rtn = command.method == "rtn";
  options.embeddings = command.embeddings;
  options.bits = command.bits != 0 ? command.bits : rtn ? 4 : 8;
  options.input_bits = rtn ? 16 : 8;
  if (is_cast(command) && command.bits != 0) usage_error("--bits", "is for the methods dynamic and rtn");
  if (rtn && options.bits != 4) usage_error("--bits", "the method rtn has 4", "8 bits: --method dynamic");
  if (command.group_size == 0) return options;
  if (is_cast(command) || options.bits != 4) usage_error("--group", "needs 4 bits");
  options.group_size = command.group_size;
  return options;
}

QuantizeReport quantize(Model& model, const QuantizeCommand& command, const QuantizeOptions& options) {
  if (!is_cast(command)) return quantize_dynamic(model, options);
  return cast_parameters(model, command.method == "bf16" ? DType::kBF16 : DType::kF16);
}

Json step_options(const QuantizeCommand& command, const QuantizeOptions& options) {
  Json step{{"method", command.method}, {"embeddings", options.embeddings}};
  if (!is_cast(command)) step["bits"] = options.bits;
  if (!is_cast(command) && options.bits == 4) step["group"] = options.group_size;
  return step;
}

int run_quantize(const QuantizeCommand& command, const Globals& globals) {
  const QuantizeOptions options = quantize_options(command);
  refuse_existing(command.out, globals);
  Model model = load_model(resolve_model(command.model));
  const QuantizeReport report = quantize(model, command, options);
  record_step(model, "quantize", step_options(command, options), globals.seed);
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
  verb->add_option("--method", command->method, "dynamic (inputs int8), rtn (weights only, 4 bits), bf16, f16")
      ->check(CLI::IsMember({"dynamic", "rtn", "bf16", "f16"}));
  verb->add_option("--bits", command->bits, "of a weight: 8 (dynamic's default) or 4 (rtn's)")
      ->check(CLI::IsMember({4, 8}));
  verb->add_option("--group", command->group_size, "with 4 bits: inputs that share a scale: 32 (default), 64 or 128")
      ->check(CLI::IsMember({32, 64, 128}));
  verb->add_flag("--embeddings", command->embeddings, "embedding tables too (8 bits)");
  verb->add_option("--out", command->out, "folder to write")->required();
}

}  // namespace fettle::cli
