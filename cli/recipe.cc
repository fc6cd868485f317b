#include "cli/recipe.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <string_view>

#include "base/error.h"

namespace fettle::cli {

namespace {

constexpr std::array<std::string_view, 5> kVerbs = {"train", "distill", "prune", "factorize", "quantize"};

RecipeStep parse_step(const Json& json, const std::string& where) {
  if (!json.is_object()) bad_input(where, "is not an object");
  RecipeStep step;
  step.verb = json_string(json, "verb", where);
  if (std::ranges::find(kVerbs, step.verb) == kVerbs.end()) {
    bad_input(where, fmt::format("verb \"{}\" cannot be a step", step.verb),
              "train, distill, prune, factorize, quantize");
  }
  step.from = json_string_or(json, "from", "previous", where);
  if (step.from != "previous" && step.from != "parent" && step.from != "model") {
    bad_input(where, fmt::format("\"from\" is \"{}\"", step.from), "previous, parent, model");
  }
  if (const auto options = json.find("options"); options != json.end()) {
    if (!options->is_object()) bad_input(where, "\"options\" is not an object");
    step.options = *options;
  }
  if (json.contains("seed")) step.options["seed"] = json_int(json, "seed", 0, INT64_MAX, where);
  return step;
}

std::string replaced(std::string text, const RecipePlaces& places) {
  const std::pair<std::string, const std::string&> marks[] = {
      {"{model}", places.model}, {"{parent}", places.parent}, {"{previous}", places.previous}};
  for (const auto& [mark, value] : marks) {
    for (size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at + value.size())) {
      text.replace(at, mark.size(), value);
    }
  }
  return text;
}

std::string scalar(const Json& value, const RecipePlaces& places, const std::string& key) {
  if (value.is_string()) return replaced(value.get<std::string>(), places);
  if (value.is_number() || value.is_boolean()) return value.dump();
  bad_input("recipe: \"" + key + "\"", "is neither a string, a number, true, false nor a list of these");
}

// What a manifest writes down where no flag was given, or in other words than the flag's.
Json as_flags_have_it(const Json& options) {
  Json flags = Json::object();
  for (const auto& [key, value] : options.items()) {
    const bool is_default = value.is_null() || value == "" || (key == "dropout" && value.is_number() && value < 0) ||
                            (key == "class_weights" && value == "none");
    if (is_default) continue;
    if (key == "class_weights" && value.is_string() && value != "balanced") {
      std::string list;
      const Json weights = parse_json(value.get<std::string>(), "class_weights");
      for (const auto& [label, weight] : weights.items()) {
        list += (list.empty() ? "" : ",") + label + "=" + weight.dump();
      }
      flags[key] = list;
    } else {
      flags[key == "early_stopping_patience" ? "patience" : key] = value;
    }
  }
  return flags;
}

}  // namespace

Recipe parse_recipe(const Json& json, std::string_view where) {
  const std::string at(where);
  if (!json.is_object() || !json.contains("steps") || !json["steps"].is_array() || json["steps"].empty()) {
    bad_input(at, "has no list of \"steps\"");
  }
  Recipe recipe;
  recipe.is_manifest = json.contains("parents");
  const Json& steps = json["steps"];
  for (size_t i = 0; i < steps.size(); ++i) {
    recipe.steps.push_back(parse_step(steps[i], fmt::format("{}: steps[{}]", at, i)));
  }
  return recipe;
}

std::string data_option_of(const RecipeStep& step) {
  const Json& options = step.options;
  if (step.verb == "train" || step.verb == "distill") return "data";
  if (options.contains("epochs") || options.contains("max_steps")) return "data";
  const auto word = [&](const char* key, const char* otherwise) {
    const auto found = options.find(key);
    return found != options.end() && found->is_string() ? found->get<std::string>() : std::string(otherwise);
  };
  const auto is_one_of = [](const std::string& name, std::initializer_list<std::string_view> names) {
    return std::ranges::find(names, name) != names.end();
  };
  const std::string method = word("method", "dynamic");
  if (step.verb == "quantize") {
    if (is_one_of(method, {"dynamic", "rtn", "bf16", "f16"})) return "";
    return method == "qat" ? "data" : "calibrate";
  }
  if (step.verb == "factorize") return is_one_of(method, {"weighted-svd", "embedding"}) ? "data" : "";
  const bool is_ranked = is_one_of(method, {"heads", "neurons", "joint", "hidden"});
  const bool reads = method == "vocabulary" || options.contains("reconstruct") ||
                     (method == "layers" && is_one_of(word("which", "top"), {"contribution", "gradient"})) ||
                     (is_ranked && word("importance", "gradient") != "magnitude");
  return reads ? "data" : "";
}

std::vector<std::string> step_arguments(const RecipeStep& step, const RecipePlaces& places, bool is_manifest,
                                        const std::function<bool(const std::string& flag)>& has_option,
                                        std::vector<std::string>& ignored) {
  const std::string& from = step.from == "model"    ? places.model
                            : step.from == "parent" ? places.parent
                                                    : places.previous;
  std::vector<std::string> args = {step.verb, from};
  const Json options = is_manifest ? as_flags_have_it(step.options) : step.options;
  for (const auto& [key, value] : options.items()) {
    std::string flag = "--" + key;
    std::ranges::replace(flag, '_', '-');
    if (flag == "--out" || flag == "--config" || !has_option(flag)) {
      if (!is_manifest) usage_error("recipe", fmt::format("\"{}\" is no option of a step of {}", key, step.verb));
      ignored.push_back(key);
      continue;
    }
    for (const Json& item : value.is_array() ? value : Json::array({value})) {
      args.push_back(flag + "=" + scalar(item, places, key));
    }
  }
  args.push_back("--out=" + places.out);
  return args;
}

}  // namespace fettle::cli
