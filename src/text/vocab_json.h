// The vocabulary object inside a tokenizer.json, read without building a JSON value: it is nearly all of the file.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fettle {

// A JSON text with the object at model.vocab taken out.
struct VocabCut {
  std::string rest;         // the same text with "{}" in its place
  std::string_view object;  // the object in the given text; empty when there is none
};
VocabCut cut_out_vocab(std::string_view json);

// The pieces of a JSON object {"piece": id, …}, placed at their ids; "" where an id is unused. kBadInput, naming
// `where`, when it is not such an object, an id is negative, no integer or used twice, or too many ids are unused.
std::vector<std::string> parse_vocab_object(std::string_view object, const std::string& where);

// {"piece": id, …} in Hugging Face's layout, for the fourth level of indentation.
std::string format_vocab_object(const std::vector<std::string>& pieces);

}  // namespace fettle
