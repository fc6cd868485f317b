#include "cli/quantize_page.h"

#include <fmt/format.h>

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "cli/results.h"
#include "compress/quantize/report_page.h"

namespace fettle::cli {

void QuantizePageFlag::add_to(CLI::App& verb) {
  verb.add_option("--report", path,
                  "write the layers, their errors and how their weights are spread as a page (.html)");
}

void QuantizePageFlag::refuse_existing(const Globals& globals) const {
  if (path.empty() || globals.force || !std::filesystem::exists(path)) return;
  usage_error(path, "exists already", "--force overwrites");
}

void QuantizePageFlag::write(const QuantizeReport& report, const std::string& model, const std::string& method,
                             const Globals& globals) const {
  if (path.empty()) return;
  QuantizePage page;
  page.title =
      fmt::format("Quantization of {}: {}", std::filesystem::path(beside(model, "")).filename().string(), method);
  page.summary = fmt::format("{:.2f} MiB became {:.2f}, {:.2f} bits a weight.", report.size_mb_before, report.size_mb,
                             report.bits_per_weight);
  page.report = report;
  page.facts = environment_facts(globals);
  write_file(path, quantize_page_html(page));
}

}  // namespace fettle::cli
