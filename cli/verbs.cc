#include "cli/verbs.h"

namespace fettle::cli {

void add_all_verbs(Program& program) {
  add_demo(program);
  add_compress(program);
  add_train(program);
  add_distill(program);
  add_prune(program);
  add_factorize(program);
  add_quantize(program);
  add_run_recipe(program);
  add_bench(program);
  add_compare(program);
  add_profile(program);
  add_eval(program);
  add_predict(program);
  add_embed(program);
  add_inspect(program);
  add_tokenize(program);
  add_cpu(program);
}

}  // namespace fettle::cli
