// The options of `distill` that say what a student learns from its teacher.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "train/distill/distill_options.h"

namespace fettle::cli {

struct DistillFlags {
  DistillOptions options;
  std::string match = "logits";
  std::string relation_layers = "last";
  std::string cache_folder;
  bool no_cache = false;
  double cache_gib = 8;
  void add_to(CLI::App& verb);
  // With the user's cache folder where none is named. kUsage for what does not go together.
  DistillOptions resolve() const;
};

// --objective mlm.
struct MaskedDistillFlags {
  MaskedDistillOptions options;
  double mask_probability = 0.15;
  void add_to(CLI::App& verb);
};

}  // namespace fettle::cli
