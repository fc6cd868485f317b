// The options of `quantize` that say which integers the weights become: all methods that have integers take them.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "base/json.h"
#include "compress/quantize/dynamic.h"

namespace fettle::cli {

struct SchemeFlags {
  int bits = 0;             // 0: what the method has by itself
  std::string group;        // "": by itself; a number, or "channel"
  std::string granularity;  // "", "tensor" or "channel"
  bool asymmetric = false;
  int activations = 0;     // 0: what the method has by itself
  std::string embeddings;  // "": none; bits, as --embeddings=4; "true" (8) from a file
  int head_bits = 8;

  void add_to(CLI::App& verb);
  // Their names, for QuantizeGroup::flags_of.
  static std::vector<std::string> flags();
  // `defaults` (of the method) with what was given in its place. kUsage for what does not go together.
  QuantizeOptions resolve(const QuantizeOptions& defaults) const;
  bool has_embeddings() const { return !embeddings.empty() && embeddings != "false"; }
};

// As the flags say it, for the manifest.
Json flags_to_json(const QuantizeOptions& options);

}  // namespace fettle::cli
