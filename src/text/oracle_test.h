// For tests: Hugging Face's tokenizers, run by node, and the folder of shared test data.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"
#include "text/tokenizer.h"

namespace fettle::testing {

// Answers of tests/oracle/tokenize.mjs, one for each request.
std::vector<Json> ask_oracle(const std::string& engine, const std::filesystem::path& tokenizer_json,
                             const Json& options, const std::vector<Json>& requests);
// Compares ids, type ids, pieces and offsets with the Rust library on the folder's tokenizer.json, and the fast path
// with both.
void expect_same_as_rust(const Tokenizer& tokenizer, const std::filesystem::path& folder,
                         const std::vector<std::string>& texts, int max_length = 0, bool compare_tokens = true);
std::vector<Json> to_requests(const std::vector<std::string>& texts);
// True when node and its modules are installed.
bool has_oracle();

std::filesystem::path shared_data();
bool has_shared_data();

// A folder of its own for the running test, removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// Every `step`-th line of a text file.
std::vector<std::string> lines_of(const std::filesystem::path& path, size_t step);
// Of the shared data.
std::vector<std::string> clinc_texts();
std::vector<std::string> korean_texts();
// Strings made of pieces that tokenizers stumble over: accents, Hangul, ideographs, emoji, controls, right-to-left
// text, punctuation, special tokens, long words. The same for the same seed.
std::vector<std::string> tricky_texts(int n, uint64_t seed);

}  // namespace fettle::testing

#define FETTLE_NEED_ORACLE()          \
  if (!fettle::testing::has_oracle()) \
  GTEST_SKIP() << "run `npm install --ignore-scripts` in the repository for this test"
#define FETTLE_NEED_SHARED_DATA() \
  if (!fettle::testing::has_shared_data()) GTEST_SKIP() << "needs the shared test data beside the repository"
