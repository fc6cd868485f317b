// fettle cpu: what this machine can do.
#include <fmt/format.h>

#include "base/cpu.h"
#include "cli/app.h"
#include "kernels/dispatch.h"
#include "kernels/roofline.h"

namespace fettle::cli {

namespace {

int run_cpu(const Globals& globals) {
  const KernelTable& table = table_named(globals.isa);
  ThreadPool pool(globals.threads);
  const Roofline limits = measure_roofline(table, pool);
  Json names = Json::array();
  for (const KernelTable* supported : supported_tables()) names.push_back(std::string(supported->name));
  if (globals.json) {
    print_json(Json{{"model", cpu_features().model_name},
                    {"cores", cpu_features().n_cores},
                    {"threads", pool.n_threads()},
                    {"isa", names},
                    {"active", std::string(table.name)},
                    {"bandwidth_gb_s", limits.bandwidth_gb_s},
                    {"peak_int8_gops", limits.peak_int8_gops},
                    {"peak_bf16_gflops", limits.peak_bf16_gflops},
                    {"peak_f32_gflops", limits.peak_f32_gflops}});
    return 0;
  }
  std::string list;
  for (const Json& name : names) list += (list.empty() ? "" : ", ") + name.get<std::string>();
  print(
      fmt::format("{}, {} cores, {} threads\nkernel tables: {}; active: {}\n"
                  "read bandwidth {:.1f} GB/s\nint8 {:.0f} GOP/s, bf16 {:.0f} GFLOP/s, f32 {:.0f} GFLOP/s\n",
                  cpu_features().model_name, cpu_features().n_cores, pool.n_threads(), list, table.name,
                  limits.bandwidth_gb_s, limits.peak_int8_gops, limits.peak_bf16_gflops, limits.peak_f32_gflops));
  return 0;
}

}  // namespace

void add_cpu(Program& program) {
  program.add_verb("cpu", "kernel tables, bandwidth and peaks of this machine",
                   [&program] { return run_cpu(program.globals()); });
}

}  // namespace fettle::cli
