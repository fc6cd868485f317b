// Graphs from bytes: shape inference accepts only what its op can evaluate, passes do not change results, gradients are
// sound.
#include <cstdio>
#include <cstdlib>

#include "graph/random_graph_check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const fettle::RandomGraph random({data, size});
  fettle::verify(random.graph);
  fettle::print(random.graph);
  const std::string fault = fettle::pass_at_fault(random);
  if (!fault.empty()) {
    std::fprintf(stderr, "%s changes the result of\n%s", fault.c_str(), fettle::print(random.graph).c_str());
    std::abort();
  }
  fettle::differentiates(random);
  return 0;
}
