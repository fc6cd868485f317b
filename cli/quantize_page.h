// `quantize --report FILE.html`: the page of its layers.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "cli/app.h"
#include "compress/quantize/dynamic.h"

namespace fettle::cli {

struct QuantizePageFlag {
  std::string path;  // empty: none is written

  void add_to(CLI::App& verb);
  // kUsage, before the work, when the file exists and --force was not given.
  void refuse_existing(const Globals& globals) const;
  // `method` and `model` as the command line names them.
  void write(const QuantizeReport& report, const std::string& model, const std::string& method,
             const Globals& globals) const;
};

}  // namespace fettle::cli
