// `quantize --method dynamic`, `rtn`, `bf16`, `f16`: what needs no data.
#include "cli/quantize_scheme.h"

#include "base/error.h"
#include "cli/quantize_methods.h"
#include "compress/quantize/cast.h"

namespace fettle::cli {

namespace {

constexpr const char* kChannel = "channel";

int group_of(const std::string& text) {
  if (text.empty()) return QuantizeOptions::kDefaultGroup;
  return text == kChannel ? 0 : std::stoi(text);
}

}  // namespace

void SchemeFlags::add_to(CLI::App& verb) {
  verb.add_option("--bits", bits, "of a weight: 8 (default; of rtn 4), 6, 4, 3 or 2")
      ->check(CLI::IsMember({8, 6, 4, 3, 2}));
  verb.add_option("--group", group,
                  "inputs that share a scale: 32 (default below 8 bits), 64, 128, or channel (default with 8 bits): "
                  "all of an output's")
      ->check(CLI::IsMember({"32", "64", "128", kChannel}));
  verb.add_option("--granularity", granularity,
                  "tensor: with 8 bits, one scale for all weights of a linear; channel: as --group channel")
      ->check(CLI::IsMember({"tensor", kChannel}));
  verb.add_flag("--asymmetric", asymmetric, "each scale with a zero point: for weights that lie on one side of zero");
  verb.add_option("--activations", activations,
                  "bits of a linear's inputs: 8 (default) or 16 (rtn's default): they stay floats")
      ->check(CLI::IsMember({8, 16}));
  verb.add_flag("--embeddings{8}", embeddings, "embedding tables too, with 8 bits; fewer: --embeddings=4");
  verb.add_option("--head-bits", head_bits,
                  "of pooler and classifier: 8 (default), 6, 4, 3, 2, or 32: they stay floats")
      ->check(CLI::IsMember({32, 8, 6, 4, 3, 2}));
}

std::vector<std::string> SchemeFlags::flags() {
  return {"--bits", "--group", "--granularity", "--asymmetric", "--activations", "--embeddings", "--head-bits"};
}

QuantizeOptions SchemeFlags::resolve(const QuantizeOptions& defaults) const {
  QuantizeOptions options = defaults;
  if (bits != 0) options.bits = bits;
  if (activations != 0) options.input_bits = activations;
  options.asymmetric = asymmetric;
  options.embeddings = has_embeddings();
  if (options.embeddings && embeddings != "true") {
    if (embeddings != "8" && embeddings != "6" && embeddings != "4" && embeddings != "3" && embeddings != "2") {
      usage_error("--embeddings", "has no tables of '" + shown_text(embeddings) + "' bits", "8, 6, 4, 3 or 2");
    }
    options.embedding_bits = std::stoi(embeddings);
  }
  options.head = head_bits != 32;
  if (options.head) options.head_bits = head_bits;
  if (!group.empty() && !granularity.empty()) usage_error("--granularity", "does not go with --group");
  options.group_size = granularity.empty() ? group_of(group) : 0;
  if (granularity != "tensor") return options;
  if (options.bits != 8) usage_error("--granularity", "tensor needs 8 bits");
  if (asymmetric) usage_error("--granularity", "tensor does not go with --asymmetric");
  options.per_tensor = true;
  return options;
}

Json flags_to_json(const QuantizeOptions& options) {
  Json json{{"bits", options.bits}, {"activations", options.input_bits}};
  const bool has_group = options.group_size != QuantizeOptions::kDefaultGroup;
  if (options.per_tensor) {
    json["granularity"] = "tensor";
  } else if (has_group) {
    json["group"] = options.group_size == 0 ? Json(kChannel) : Json(options.group_size);
  }
  if (options.asymmetric) json["asymmetric"] = true;
  json["embeddings"] = options.embeddings;
  if (options.embeddings && options.embedding_bits != 8) json["embeddings"] = options.embedding_bits;
  json["head-bits"] = options.head ? options.head_bits : 32;
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

  void check(const QuantizeCommand&) const override {}

  QuantizeOutcome run(Model& model, const QuantizeJob& job) override {
    QuantizeOutcome outcome;
    if (is_cast(job.command)) {
      outcome.report = cast_parameters(model, job.command.method == "bf16" ? DType::kBF16 : DType::kF16);
      outcome.options = {{"embeddings", job.command.scheme.has_embeddings()}};
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
