#include "cli/distill_flags.h"

#include <filesystem>

#include "base/error.h"
#include "cli/app.h"

namespace fettle::cli {

namespace {

constexpr double kGib = 1024.0 * 1024.0 * 1024.0;
constexpr const char* kTeacherFolder = "teachers";

}  // namespace

void DistillFlags::add_to(CLI::App& verb) {
  const auto weight = [&verb](const char* name, double& value, const char* help) {
    verb.add_option(name, value, help)->check(CLI::Range(0.0, 1e6));
  };
  verb.add_option("--match", match, "what to learn: any of logits,hidden,attention,values,embeddings");
  weight("--hidden-weight", options.hidden_weight, "of the mean squared error of hidden states (default 1)");
  weight("--embeddings-weight", options.embeddings_weight, "of the mean squared error of embeddings (default 1)");
  weight("--attention-weight", options.attention_weight, "of the divergence of attention (default 1)");
  weight("--values-weight", options.values_weight, "of the divergence of value relations (default 1)");
  verb.add_option("--layer-map", options.layer_map, "layers to compare: uniform, last, or student:teacher as 0:2,1:5");
  verb.add_option("--relation-layers", relation_layers, "attention and values of the last pair, or of all mapped")
      ->check(CLI::IsMember({"last", "mapped"}));
  verb.add_option("--relation-heads", options.relation_heads, "heads that attention and values are compared in")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 20));
  verb.add_option("--augment", options.augment, "new texts made of each text, for the teacher to label")
      ->check(CLI::Range(0, 1000));
  verb.add_flag("--allow-other-vocabulary", options.allow_other_vocabulary,
                "a student with another vocabulary than the teacher's (logits only)");
  verb.add_option("--teacher-cache", cache_folder, "folder that keeps what teachers give (default: the user's cache)");
  verb.add_flag("--no-teacher-cache", no_cache, "keep nothing of what teachers give");
  verb.add_option("--teacher-cache-gib", cache_gib, "most that the folder may hold (default 8)")
      ->check(CLI::Range(0.0, 1e6));
}

DistillOptions DistillFlags::resolve() const {
  if (no_cache && !cache_folder.empty()) usage_error("--no-teacher-cache", "contradicts --teacher-cache");
  DistillOptions resolved = options;
  resolved.match = parse_match(match);
  resolved.relations_of_all_layers = relation_layers == "mapped";
  resolved.cache.limit_bytes = static_cast<int64_t>(cache_gib * kGib);
  resolved.cache.folder = cache_folder;
  if (cache_folder.empty() && !no_cache) {
    const std::filesystem::path user = user_cache_folder();
    if (!user.empty()) resolved.cache.folder = user / "fettle" / kTeacherFolder;
  }
  check_options(resolved);
  return resolved;
}

void MaskedDistillFlags::add_to(CLI::App& verb) {
  verb.add_option("--mlm-weight", options.mlm_weight, "mlm: of the masked words' cross entropy (default 2)")
      ->check(CLI::Range(0.0, 1e6));
  verb.add_option("--kd-weight", options.kd_weight, "mlm: of the divergence from the teacher (default 5)")
      ->check(CLI::Range(0.0, 1e6));
  verb.add_option("--cosine-weight", options.cosine_weight, "mlm: of the angle between last hidden states (default 1)")
      ->check(CLI::Range(0.0, 1e6));
  verb.add_option("--mask-probability", mask_probability, "mlm: share of tokens to predict")
      ->check(CLI::Range(0.01, 0.9));
}

}  // namespace fettle::cli
