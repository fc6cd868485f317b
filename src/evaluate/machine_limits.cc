#include "evaluate/machine_limits.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <span>
#include <string_view>
#include <utility>

#include "base/cpu.h"
#include "base/error.h"
#include "base/json.h"
#include "base/sha256.h"

namespace fettle {
namespace {

constexpr JsonLimits kFileLimits{.size_bytes = 1 << 20, .depth = 4, .n_values = 1 << 14};
// Far beyond any machine: what is more has not been measured.
constexpr double kMostPlausible = 1e7;

struct Field {
  const char* name;
  double Roofline::*value;
};
constexpr std::array<Field, 4> kFields = {{{"bandwidth_gb_s", &Roofline::bandwidth_gb_s},
                                           {"peak_f32_gflops", &Roofline::peak_f32_gflops},
                                           {"peak_bf16_gflops", &Roofline::peak_bf16_gflops},
                                           {"peak_int8_gops", &Roofline::peak_int8_gops}}};

Json key_json(const MachineKey& key) {
  return {{"processor", key.processor}, {"features", key.features}, {"fettle", key.version}};
}

// The file's entries, or none when it is not for this machine.
Json read_entries(const std::filesystem::path& file, const MachineKey& key) {
  if (file.empty()) return Json::array();
  try {
    Json json = read_json(file, kFileLimits);
    if (json.is_object() && json.value("machine", Json()) == key_json(key) && json.contains("limits") &&
        json["limits"].is_array()) {
      return json["limits"];
    }
  } catch (const Error&) {
    // As good as no file.
  }
  return Json::array();
}

bool is_for(const Json& entry, std::string_view table, int n_threads) {
  return entry.is_object() && entry.value("table", Json()) == Json(table) &&
         entry.value("threads", Json()) == Json(n_threads);
}

std::optional<Roofline> roofline_of(const Json& entry) {
  Roofline limits;
  for (const Field& field : kFields) {
    const Json value = entry.value(field.name, Json());
    if (!value.is_number()) return {};
    limits.*field.value = value.get<double>();
    if (!(limits.*field.value > 0) || !(limits.*field.value < kMostPlausible)) return {};
  }
  return limits;
}

}  // namespace

MachineKey machine_key(std::string version) {
  constexpr std::array<std::string_view, 7> kLines = {"cpu family", "model", "model name", "stepping",
                                                      "microcode",  "flags", "Features"};
  std::string text;
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line) && !line.empty();) {  // the first processor's
    const std::string_view name = std::string_view(line).substr(0, line.find_first_of("\t:"));
    if (std::ranges::find(kLines, name) != kLines.end()) text += line + '\n';
  }
  const CpuFeatures& cpu = cpu_features();
  text += std::to_string(cpu.n_cores);
  constexpr size_t kDigestLength = 16;
  return {cpu.model_name, sha256_hex(std::as_bytes(std::span(text))).substr(0, kDigestLength), std::move(version)};
}

std::optional<Roofline> LimitsCache::find(std::string_view table, int n_threads) const {
  for (const Json& entry : read_entries(file_, key_)) {
    if (is_for(entry, table, n_threads)) return roofline_of(entry);
  }
  return {};
}

void LimitsCache::store(std::string_view table, int n_threads, const Roofline& limits) const {
  if (file_.empty()) return;
  Json entries = Json::array();
  for (const Json& entry : read_entries(file_, key_)) {
    if (!is_for(entry, table, n_threads)) entries.push_back(entry);
  }
  Json made{{"table", table}, {"threads", n_threads}};
  for (const Field& field : kFields) made[field.name] = limits.*field.value;
  entries.push_back(std::move(made));
  std::error_code failed;
  std::filesystem::create_directories(file_.parent_path(), failed);
  try {
    write_json(file_, {{"machine", key_json(key_)}, {"limits", std::move(entries)}});
  } catch (const Error&) {
    // Measured again next time.
  }
}

MachineLimits machine_limits(const KernelTable& table, int n_threads, const LimitsCache& cache, bool anew) {
  if (!anew) {
    if (const std::optional<Roofline> known = cache.find(table.name, n_threads)) return {*known, true};
  }
  ThreadPool pool(n_threads);
  Roofline measured = measure_roofline(table, pool);
  // Several threads can do what one can: less was some other program's doing.
  if (const std::optional<Roofline> single = cache.find(table.name, 1); single && n_threads > 1) {
    for (const Field& field : kFields) measured.*field.value = std::max(measured.*field.value, (*single).*field.value);
  }
  cache.store(table.name, n_threads, measured);
  return {measured, false};
}

}  // namespace fettle
