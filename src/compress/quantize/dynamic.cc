#include "compress/quantize/dynamic.h"

#include "compress/quantize/plan.h"

namespace fettle {

QuantizeReport quantize_dynamic(Model& model, const QuantizeOptions& options) {
  return apply_plan(model, make_plan(model, options));
}

}  // namespace fettle
