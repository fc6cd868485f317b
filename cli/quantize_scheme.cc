// `quantize --method dynamic`, `rtn`, `bf16`, `f16`: what needs no data.
#include "cli/quantize_scheme.h"

#include "base/error.h"
#include "cli/quantize_methods.h"
#include "compress/quantize/cast.h"

namespace fettle::cli {

void SchemeFlags::add_to(CLI::App& verb) {
  verb.add_option("--bits", bits, "of a weight: 8 (dynamic's default) or 4 (rtn's)")->check(CLI::IsMember({4, 8}));
  verb.add_option("--group", group_size, "with 4 bits: inputs that share a scale: 32 (default), 64 or 128")
      ->check(CLI::IsMember({32, 64, 128}));
  verb.add_flag("--embeddings", embeddings, "embedding tables too (8 bits)");
}

std::vector<std::string> SchemeFlags::flags() {
  return {"--bits", "--group", "--embeddings"};
}

QuantizeOptions SchemeFlags::resolve(const QuantizeOptions& defaults) const {
  QuantizeOptions options = defaults;
  options.embeddings = embeddings;
  if (bits != 0) options.bits = bits;
  if (group_size == 0) return options;
  if (options.bits != 4) usage_error("--group", "needs 4 bits");
  options.group_size = group_size;
  return options;
}

Json flags_to_json(const QuantizeOptions& options) {
  Json json{{"embeddings", options.embeddings}, {"bits", options.bits}};
  if (options.bits == 4) json["group"] = options.group_size;
  return json;
}

namespace {

bool is_cast(const QuantizeCommand& command) {
  return command.method == "bf16" || command.method == "f16";
}

class SchemeGroup final : public QuantizeGroup {
 public:
  std::vector<std::string> methods() const override { return {"dynamic", "rtn", "bf16", "f16"}; }

  void add_to(CLI::App&) override {}

  std::vector<std::string> flags_of(const std::string& method) const override {
    // Casts take --embeddings: they reach the tables anyway.
    return method == "bf16" || method == "f16" ? std::vector<std::string>{"--embeddings"} : SchemeFlags::flags();
  }

  std::optional<QuantizeOptions> scheme(const QuantizeCommand& command) const override {
    if (is_cast(command)) return {};
    QuantizeOptions defaults;
    if (command.method == "rtn") {
      defaults.bits = 4;
      defaults.input_bits = 16;
    }
    return command.scheme.resolve(defaults);
  }

  void check(const QuantizeCommand& command) const override {
    if (command.method == "rtn" && scheme(command)->bits != 4) {
      usage_error("--bits", "the method rtn has 4", "8 bits: --method dynamic");
    }
  }

  QuantizeOutcome run(Model& model, const QuantizeJob& job) override {
    QuantizeOutcome outcome;
    if (is_cast(job.command)) {
      outcome.report = cast_parameters(model, job.command.method == "bf16" ? DType::kBF16 : DType::kF16);
      outcome.options = {{"embeddings", job.command.scheme.embeddings}};
    } else {
      outcome.report = apply_plan(model, job.plan);
    }
    return outcome;
  }
};

}  // namespace

std::unique_ptr<QuantizeGroup> make_scheme_group() {
  return std::make_unique<SchemeGroup>();
}

}  // namespace fettle::cli
