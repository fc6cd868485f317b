// What a student is to learn from its teacher besides, or instead of, the teacher's logits.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace fettle {

struct DistillMatch {
  bool logits = true;
  bool hidden = false;      // hidden states after the mapped layers (TinyBERT, Jiao et al. 2020)
  bool attention = false;   // relations of queries and keys (MiniLM, Wang et al. 2020)
  bool values = false;      // relations of values (MiniLM)
  bool embeddings = false;  // the normalized sum of the embeddings (TinyBERT)

  bool operator==(const DistillMatch&) const = default;
  // Anything that is told token by token.
  bool features() const { return hidden || attention || values || embeddings; }
};

// Where what a teacher gives is kept from run to run (teacher_cache.h).
struct TeacherCacheOptions {
  std::filesystem::path folder;  // empty: nowhere
  // Of all that the folder holds; what was not used for longest goes first. Features of a data set that would take more
  // are computed batch by batch in training instead.
  int64_t limit_bytes = int64_t{8} << 30;
};

struct DistillOptions {
  DistillMatch match;
  double hidden_weight = 1;
  double embeddings_weight = 1;
  double attention_weight = 1;
  double values_weight = 1;
  std::string layer_map = "uniform";     // map_layers()
  bool relations_of_all_layers = false;  // attention and values: of all mapped layers, else of the last pair only
  int64_t relation_heads = 0;            // 0: relation_heads() decides
  int64_t augment = 0;                   // new texts for each text of the training data (data/augment.h)
  bool allow_other_vocabulary = false;   // logits only: each side cuts the texts for itself
  TeacherCacheOptions cache;
};

// Weights of the losses of distill_masked_lm(), DistilBERT's.
struct MaskedDistillOptions {
  double mlm_weight = 2;
  double kd_weight = 5;
  double cosine_weight = 1;
};

// "logits,hidden,attention,values,embeddings", any of them in any order. kUsage for others and for none.
DistillMatch parse_match(std::string_view list);
// The other way.
std::string match_list(const DistillMatch& match);

// A layer of the student and the one of the teacher that it is to be like, both from 0.
struct LayerPair {
  int64_t student = 0;
  int64_t teacher = 0;
  bool operator==(const LayerPair&) const = default;
};
// By the student's layers:
// - "uniform": layer i and layer (i + 1) · n_teacher / n_student - 1, so that the last ones meet (TinyBERT);
// - "last": the student's layers and the teacher's last ones;
// - "0:2,1:5": as given, student:teacher.
// kUsage for anything else, for layers that do not exist, and for a layer of the student that is named twice.
std::vector<LayerPair> map_layers(std::string_view rule, int64_t n_student, int64_t n_teacher);

// In how many heads relations of widths `student` and `teacher` are cut: `wanted` when it is above 0 (kUsage when it
// does not divide both widths), the number of heads when both sides have the same, else the largest number up to the
// teacher's heads that divides both widths (MiniLMv2, Wang et al. 2021).
struct RelationWidth {
  int64_t n_heads = 1;
  int64_t width = 1;
};
int64_t relation_heads(const RelationWidth& student, const RelationWidth& teacher, int64_t wanted);

// kUsage for numbers that make no sense.
void check_options(const DistillOptions& options);
// What influences the weights, as manifest and checkpoints keep it.
Json options_to_json(const DistillOptions& options);

}  // namespace fettle
