// fettle embed: sentence embeddings.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "base/error.h"
#include "cli/app.h"
#include "runtime/embedder.h"

namespace fettle::cli {

namespace {

struct EmbedCommand {
  std::string model;
  TextFlags texts;
  std::string pooling;
  std::string normalize;
  PackedCacheFlag packed_cache;
};

SentencePipeline chosen_pipeline(const EmbedCommand& command, const Model& model) {
  SentencePipeline pipeline = model.sentence.value_or(SentencePipeline{});
  if (!command.pooling.empty()) pipeline.pooling = {parse_pooling(command.pooling)};
  if (command.normalize == "off") {
    std::erase_if(pipeline.steps, [](const SentenceStep& step) { return !step.is_dense(); });
  } else if (command.normalize == "on" && !pipeline.normalizes()) {
    pipeline.steps.emplace_back();
  }
  return pipeline;
}

int run_embed(const EmbedCommand& command, const Globals& globals) {
  command.texts.check("embed");
  const auto model = load_shared(command.model);
  SessionOptions session = globals.session();
  session.packed_cache = command.packed_cache.is_on;
  Embedder embedder(model, chosen_pipeline(command, *model), session);
  const Dataset data = command.texts.read(false);
  std::vector<std::string> texts;
  for (const Example& example : data.examples) texts.push_back(example.text);
  const Tensor embeddings = embedder.embed(texts);
  Json results = Json::array();
  std::string lines;
  for (int64_t row = 0; row < embeddings.dim(0); ++row) {
    const std::span<const float> values = embeddings.rows(row, row + 1).floats();
    if (globals.json) {
      results.push_back(Json{{"embedding", std::vector<float>(values.begin(), values.end())}});
    } else {
      lines += fmt::format("{}\n", fmt::join(values, " "));
    }
  }
  if (globals.json) {
    print_json(Json{{"results", std::move(results)}});
  } else {
    print(lines);
  }
  return 0;
}

}  // namespace

void add_embed(Program& program) {
  auto command = std::make_shared<EmbedCommand>();
  CLI::App* verb =
      program.add_verb("embed", "sentence embeddings of texts (arguments, --data, or lines of standard input)",
                       [command, &program] { return run_embed(*command, program.globals()); });
  verb->add_option("model", command->model, "model folder")->required();
  command->texts.add_to(*verb);
  verb->add_option("--pooling", command->pooling, "cls, mean, max or mean_sqrt_len instead of what the folder says")
      ->check(CLI::IsMember({"cls", "mean", "max", "mean_sqrt_len"}));
  verb->add_option("--normalize", command->normalize, "on or off instead of what the folder says")
      ->check(CLI::IsMember({"on", "off"}));
  command->packed_cache.add_to(*verb);
}

}  // namespace fettle::cli
