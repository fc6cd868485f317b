// Any bytes as config.json: refused as bad input, or read; and what was read, written and read again, is the same. The
// graphs of what is accepted pass the verifier.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "base/error.h"
#include "base/json.h"
#include "graph/graph.h"
#include "model/config.h"
#include "model/model.h"
#include "model/quantization_config.h"

namespace {

constexpr size_t kMaxLayersBuilt = 8;

void require(bool condition) {
  if (!condition) std::abort();
}

void check_graphs(const fettle::ModelConfig& config) {
  using Head = fettle::GraphOptions::Head;
  if (config.layers.size() > kMaxLayersBuilt) return;
  for (const Head head : {Head::kClassifier, Head::kMaskedLm, Head::kHidden}) {
    if (head == Head::kClassifier && config.labels.empty()) continue;
    for (const bool training : {false, true}) fettle::verify(fettle::build_graph(config, {head, training}));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const fettle::Json json = fettle::parse_json({reinterpret_cast<const char*>(data), size}, "input");
    if (json.is_object() && json.contains("quantization_config")) {
      fettle::check_quantization_config(json["quantization_config"], "input");
    }
    const fettle::ModelConfig config = fettle::parse_config(json, "input");
    const fettle::Json written = fettle::config_to_json(config);
    const fettle::ModelConfig again = fettle::parse_config(written, "written");
    require(again.layers == config.layers && again.labels == config.labels);
    require(fettle::config_to_json(again) == written);
    check_graphs(config);
  } catch (const fettle::Error& error) {
    require(error.code() == fettle::ErrorCode::kBadInput && error.what()[0] != '\0' &&
            std::strchr(error.what(), '\n') == nullptr);
  }
  return 0;
}
