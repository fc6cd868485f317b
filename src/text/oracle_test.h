// For tests: Hugging Face's tokenizers, run by node, and the folder of shared test data.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"

namespace fettle::testing {

// Answers of tests/oracle/tokenize.mjs, one for each request.
std::vector<Json> ask_oracle(const std::string& engine, const std::filesystem::path& tokenizer_json,
                             const Json& options, const std::vector<Json>& requests);
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

// Strings made of pieces that tokenizers stumble over: accents, Hangul, ideographs, emoji, controls, right-to-left
// text, punctuation, special tokens, long words. The same for the same seed.
std::vector<std::string> tricky_texts(int n, uint64_t seed);

}  // namespace fettle::testing

#define FETTLE_NEED_ORACLE()          \
  if (!fettle::testing::has_oracle()) \
  GTEST_SKIP() << "run `npm install --ignore-scripts` in the repository for this test"
#define FETTLE_NEED_SHARED_DATA() \
  if (!fettle::testing::has_shared_data()) GTEST_SKIP() << "needs the shared test data beside the repository"
