// Recipes: steps that make one model of another, each a verb with its options.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace fettle::cli {

struct RecipeStep {
  std::string verb;  // "train", "distill", "prune", "factorize", "quantize"
  // What it works on: the model of the step before, "parent", which that one was made of, or "model", the recipe's own.
  std::string from = "previous";
  Json options = Json::object();  // as in a --config file
};

// {"steps": [{"verb", "from"?, "options", "seed"?}, …]}: a recipe, or a model's manifest (fettle.json), in which each
// step is written down in the same way. kBadInput naming `where` and the step for anything else.
struct Recipe {
  std::vector<RecipeStep> steps;
  bool is_manifest = false;  // its steps may name options that no flag sets
};
Recipe parse_recipe(const Json& json, std::string_view where);

// The option that a step takes the recipe's data as: "data", "calibrate", or "" where its method reads none, for which
// its verb would refuse them.
std::string data_option_of(const RecipeStep& step);

// Where steps put their models, and what {model}, {parent} and {previous} stand for in their options.
struct RecipePlaces {
  std::string model;
  std::string parent;
  std::string previous;
  std::string out;
};

// The command line of a step, "fettle" left out. `has_option` says whether the verb has a flag ("--epochs"): what a
// manifest says beside is left out and named in `ignored`; a recipe's is an error (kUsage).
std::vector<std::string> step_arguments(const RecipeStep& step, const RecipePlaces& places, bool is_manifest,
                                        const std::function<bool(const std::string& flag)>& has_option,
                                        std::vector<std::string>& ignored);

}  // namespace fettle::cli
