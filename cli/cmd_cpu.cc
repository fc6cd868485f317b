// fettle cpu: what this machine can do.
#include <fmt/format.h>

#include <memory>

#include "base/cpu.h"
#include "cli/app.h"
#include "kernels/dispatch.h"

namespace fettle::cli {

namespace {

struct Measured {
  int n_threads;
  MachineLimits limits;
};

// For one thread, and for all of them.
std::vector<Measured> measure(const Globals& globals, bool anew) {
  const int n_threads = globals.threads > 0 ? globals.threads : cpu_features().n_cores;
  const LimitsCache cache = limits_cache();
  std::vector<Measured> all;
  for (const int n : {1, n_threads}) {
    if (!all.empty() && n == 1) continue;
    all.push_back({n, machine_limits(table_named(globals.isa), n, cache, anew)});
  }
  return all;
}

Json limits_json(const Roofline& limits) {
  return Json{{"bandwidth_gb_s", limits.bandwidth_gb_s},
              {"peak_int8_gops", limits.peak_int8_gops},
              {"peak_bf16_gflops", limits.peak_bf16_gflops},
              {"peak_f32_gflops", limits.peak_f32_gflops}};
}

Json cpu_json(const std::vector<Measured>& all, const Globals& globals) {
  Json names = Json::array();
  for (const KernelTable* supported : supported_tables()) names.push_back(std::string(supported->name));
  Json json{{"model", cpu_features().model_name},
            {"cores", cpu_features().n_cores},
            {"threads", all.back().n_threads},
            {"isa", names},
            {"active", std::string(table_named(globals.isa).name)}};
  json.update(limits_json(all.back().limits.roofline));
  json["by_threads"] = Json::array();
  for (const Measured& measured : all) {
    Json entry{{"threads", measured.n_threads}, {"from_cache", measured.limits.from_cache}};
    entry.update(limits_json(measured.limits.roofline));
    json["by_threads"].push_back(std::move(entry));
  }
  const std::string cache = limits_cache().file().string();
  json["cache"] = cache.empty() ? Json(nullptr) : Json(cache);
  return json;
}

void print_cpu(const std::vector<Measured>& all, const Globals& globals) {
  std::string list;
  for (const KernelTable* table : supported_tables()) list += (list.empty() ? "" : ", ") + std::string(table->name);
  print(fmt::format("{}, {} core{}\nkernel tables: {}; active: {}\n", cpu_features().model_name, cpu_features().n_cores,
                    cpu_features().n_cores == 1 ? "" : "s", list, table_named(globals.isa).name));
  for (const auto& [n_threads, limits] : all) {
    print(fmt::format("{} thread{}: memory {:.1f} GB/s, int8 {:.0f} GOP/s, bf16 {:.0f} GFLOP/s, f32 {:.0f} GFLOP/s{}\n",
                      n_threads, n_threads == 1 ? "" : "s", limits.roofline.bandwidth_gb_s,
                      limits.roofline.peak_int8_gops, limits.roofline.peak_bf16_gflops, limits.roofline.peak_f32_gflops,
                      limits.from_cache ? " (measured before)" : ""));
  }
  if (all.back().limits.from_cache && !globals.quiet) {
    print(fmt::format("remembered in {}; --measure measures anew\n", limits_cache().file().string()));
  }
}

int run_cpu(const Globals& globals, bool anew) {
  const std::vector<Measured> all = measure(globals, anew);
  if (globals.json) {
    print_json(cpu_json(all, globals));
  } else {
    print_cpu(all, globals);
  }
  return 0;
}

}  // namespace

void add_cpu(Program& program) {
  auto anew = std::make_shared<bool>(false);
  CLI::App* verb = program.add_verb("cpu", "kernel tables, bandwidth and peaks of this machine",
                                    [anew, &program] { return run_cpu(program.globals(), *anew); });
  verb->add_flag("--measure", *anew, "measure anew, whatever is remembered");
}

}  // namespace fettle::cli
