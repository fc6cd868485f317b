// The long lists inside a tokenizer.json, read without building JSON values: they are nearly all of the file.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer_spec.h"

namespace fettle {

// A JSON text with the values of model.vocab and model.merges taken out.
struct ModelCut {
  std::string rest;        // the same text with "{}" or "[]" in their places
  std::string_view vocab;  // objects or arrays in the given text; empty where there is none
  std::string_view merges;
};
ModelCut cut_out_model(std::string_view json);

// The pieces of a JSON object {"piece": id, …}, placed at their ids; "" where an id is unused. kBadInput, naming
// `where`, when it is not such an object, an id is negative, no integer or used twice, or too many ids are unused.
std::vector<std::string> parse_vocab_object(std::string_view object, const std::string& where);
// Those of an array [["piece", score], …]; the index is the id.
std::vector<ScoredPiece> parse_scored_pieces(std::string_view array, const std::string& where);
// ["left right", …] or [["left", "right"], …]
std::vector<MergeRule> parse_merges_array(std::string_view array, const std::string& where);
// "left right"
MergeRule split_merge(std::string_view text, const std::string& where);

// {"piece": id, …} and so on in Hugging Face's layout, for the fourth level of indentation.
std::string format_vocab_object(const std::vector<std::string>& pieces);
std::string format_merges_array(const std::vector<MergeRule>& merges);

}  // namespace fettle
