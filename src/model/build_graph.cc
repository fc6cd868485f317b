#include "base/error.h"
#include "model/architectures/encoder_builder.h"
#include "model/model.h"

namespace fettle {

Graph build_graph(const ModelConfig& config, const GraphOptions& options) {
  if (options.head == GraphOptions::Head::kClassifier && config.labels.empty()) {
    bad_input("model", "has no classification head", "fine-tune it first: fettle train");
  }
  switch (config.architecture) {
    case Architecture::kBert:
      return build_bert(config, options);
    case Architecture::kDistilBert:
      return build_distilbert(config, options);
    case Architecture::kRoberta:
    case Architecture::kXlmRoberta:
      return build_roberta(config, options);
    case Architecture::kAlbert:
      break;
  }
  return build_albert(config, options);
}

std::vector<std::pair<std::string, Shape>> parameter_shapes(const ModelConfig& config, const GraphOptions& options) {
  const Graph graph = build_graph(config, options);
  std::vector<std::pair<std::string, Shape>> shapes;
  for (const ValueId id : graph.parameters()) {
    shapes.emplace_back(graph.value(id).name, bind_shape(graph.type(id), SymbolBindings{}));
  }
  return shapes;
}

}  // namespace fettle
