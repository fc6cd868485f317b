#include "train/distill/distill_options.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "base/printable.h"

namespace fettle {
namespace {

constexpr const char* kMapHint = "layer maps are uniform, last, or student:teacher pairs as 0:2,1:5";

std::vector<std::string_view> split(std::string_view list) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t comma = list.find(',');
    parts.push_back(list.substr(0, comma));
    if (comma == std::string_view::npos) return parts;
    list.remove_prefix(comma + 1);
  }
}

int64_t parse_layer(std::string_view text, int64_t n_layers, const char* whose) {
  int64_t layer = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), layer);
  if (error != std::errc() || end != text.data() + text.size()) {
    usage_error("layer map", "'" + printable(text) + "' is not a layer", kMapHint);
  }
  if (layer < 0 || layer >= n_layers) {
    usage_error("layer map", "layer " + std::to_string(layer) + " does not exist: the " + whose + " has " +
                                 std::to_string(n_layers) + ", counted from 0");
  }
  return layer;
}

std::vector<LayerPair> given_layers(std::string_view rule, int64_t n_student, int64_t n_teacher) {
  std::vector<LayerPair> pairs;
  for (const std::string_view part : split(rule)) {
    const size_t colon = part.find(':');
    if (colon == std::string_view::npos) {
      usage_error("layer map", "'" + printable(part) + "' is no pair of layers", kMapHint);
    }
    pairs.push_back({.student = parse_layer(part.substr(0, colon), n_student, "student"),
                     .teacher = parse_layer(part.substr(colon + 1), n_teacher, "teacher")});
  }
  std::ranges::sort(pairs, {}, &LayerPair::student);
  const auto twice = std::ranges::adjacent_find(pairs, {}, &LayerPair::student);
  if (twice != pairs.end()) {
    usage_error("layer map", "names layer " + std::to_string(twice->student) + " of the student twice");
  }
  return pairs;
}

void require_weight(double weight, const char* name) {
  if (!std::isfinite(weight) || weight < 0) usage_error(name, "must be 0 or more");
}

}  // namespace

DistillMatch parse_match(std::string_view list) {
  DistillMatch match{.logits = false};
  for (const std::string_view part : split(list)) {
    if (part == "logits") {
      match.logits = true;
    } else if (part == "hidden") {
      match.hidden = true;
    } else if (part == "attention") {
      match.attention = true;
    } else if (part == "values") {
      match.values = true;
    } else if (part == "embeddings") {
      match.embeddings = true;
    } else {
      usage_error("match", "does not know '" + printable(part) + "'",
                  "any of logits,hidden,attention,values,embeddings");
    }
  }
  return match;
}

std::vector<LayerPair> map_layers(std::string_view rule, int64_t n_student, int64_t n_teacher) {
  std::vector<LayerPair> pairs;
  if (rule == "uniform") {
    for (int64_t i = 0; i < n_student; ++i) {
      pairs.push_back({i, std::max<int64_t>(0, (i + 1) * n_teacher / n_student - 1)});
    }
    return pairs;
  }
  if (rule == "last") {
    if (n_student > n_teacher) {
      usage_error("layer map", "the student has " + std::to_string(n_student) + " layers, the teacher only " +
                                   std::to_string(n_teacher) + ": 'last' cannot map them");
    }
    for (int64_t i = 0; i < n_student; ++i) pairs.push_back({i, n_teacher - n_student + i});
    return pairs;
  }
  return given_layers(rule, n_student, n_teacher);
}

int64_t relation_heads(const RelationWidth& student, const RelationWidth& teacher, int64_t wanted) {
  const auto divides = [&](int64_t n) { return student.width % n == 0 && teacher.width % n == 0; };
  if (wanted > 0) {
    if (divides(wanted)) return wanted;
    usage_error("relation heads", std::to_string(wanted) + " do not divide the widths " +
                                      std::to_string(student.width) + " of the student and " +
                                      std::to_string(teacher.width) + " of the teacher");
  }
  if (student.n_heads == teacher.n_heads) return student.n_heads;
  int64_t n = teacher.n_heads;
  while (!divides(n)) --n;
  return n;
}

void check_options(const DistillOptions& o) {
  require_weight(o.hidden_weight, "hidden_weight");
  require_weight(o.embeddings_weight, "embeddings_weight");
  require_weight(o.attention_weight, "attention_weight");
  require_weight(o.values_weight, "values_weight");
  if (!o.match.logits && !o.match.features()) usage_error("match", "names nothing to learn from the teacher");
  if (o.relation_heads < 0) usage_error("relation_heads", "must be 0 or more");
  if (o.augment < 0 || o.augment > 1000) usage_error("augment", "must be from 0 to 1000");
  if (o.cache.limit_bytes < 0) usage_error("teacher cache", "its limit must be 0 or more");
  if (o.allow_other_vocabulary && o.match.features()) {
    usage_error("match", "goes token by token, which needs one vocabulary for teacher and student",
                "with another vocabulary match logits only");
  }
}

std::string match_list(const DistillMatch& match) {
  std::string list;
  const auto add = [&list](bool is_on, const char* name) {
    if (is_on) list += (list.empty() ? "" : ",") + std::string(name);
  };
  add(match.logits, "logits");
  add(match.hidden, "hidden");
  add(match.attention, "attention");
  add(match.values, "values");
  add(match.embeddings, "embeddings");
  return list;
}

Json options_to_json(const DistillOptions& o) {
  Json json{{"match", match_list(o.match)}};
  if (o.match.hidden) json["hidden_weight"] = o.hidden_weight;
  if (o.match.embeddings) json["embeddings_weight"] = o.embeddings_weight;
  if (o.match.attention) json["attention_weight"] = o.attention_weight;
  if (o.match.values) json["values_weight"] = o.values_weight;
  if (o.match.features()) json["layer_map"] = o.layer_map;
  if (o.match.attention || o.match.values) {
    json["relation_layers"] = o.relations_of_all_layers ? "mapped" : "last";
    json["relation_heads"] = o.relation_heads;
  }
  if (o.augment > 0) json["augment"] = o.augment;
  if (o.allow_other_vocabulary) json["other_vocabulary"] = true;
  return json;
}

}  // namespace fettle
