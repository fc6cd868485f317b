#include "format/hf_folder.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "format/test_files.h"

namespace fettle {
namespace {

namespace fs = std::filesystem;

ErrorCode code_of(const fs::path& folder, const std::string& name) {
  const std::optional<Error> error = error_of([&] { find_in_folder(folder, name); });
  return error ? error->code() : ErrorCode::kFailed;
}

TEST(HfFolder, FindsFilesOfTheFolder) {
  const TestFolder folder;
  put_file(folder / "a", "x");
  fs::create_directory(folder / "sub");
  put_file(folder / "sub/b", "x");
  fs::create_symlink("sub/b", folder / "inside");
  EXPECT_EQ(find_in_folder(folder.path(), "a"), folder / "a");
  EXPECT_EQ(find_in_folder(folder.path(), "sub/b"), folder / "sub/b");
  EXPECT_EQ(find_in_folder(folder.path(), "inside"), folder / "inside");
  EXPECT_EQ(find_in_folder(folder.path(), "absent"), std::nullopt);
  EXPECT_EQ(find_in_folder(folder.path(), "absent/too"), std::nullopt);
  EXPECT_EQ(error_of([&] { require_in_folder(folder.path(), "absent"); })->code(), ErrorCode::kIo);
  EXPECT_EQ(error_of([&] { require_in_folder(folder / "nowhere", "a"); })->code(), ErrorCode::kIo);
}

TEST(HfFolder, ReadsNothingOutsideTheFolder) {
  const TestFolder outer;
  const fs::path folder = outer / "model";
  fs::create_directory(folder);
  fs::create_directory(folder / "sub");
  put_file(outer / "secret", "x");
  put_file(outer / "model-b", "x");
  fs::create_symlink("../secret", folder / "link");
  fs::create_symlink(outer / "secret", folder / "absolute_link");
  fs::create_symlink("../model-b", folder / "same_prefix");
  fs::create_symlink("/dev/zero", folder / "zero");
  fs::create_symlink("..", folder / "up");
  fs::create_symlink("dangling-target", folder / "dangling");
  fs::create_symlink("loop", folder / "loop");
  ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
  for (const std::string& name :
       {std::string("../secret"), std::string("sub/../../secret"), (outer / "secret").string(), std::string(),
        std::string("a\0b", 3), std::string(5000, 'n'), std::string("link"), std::string("absolute_link"),
        std::string("same_prefix"), std::string("zero"), std::string("up/secret"), std::string("fifo"),
        std::string("sub")}) {
    EXPECT_EQ(code_of(folder, name), ErrorCode::kBadInput) << name.substr(0, 40);
  }
  EXPECT_EQ(code_of(folder, "dangling"), ErrorCode::kIo);
  EXPECT_EQ(code_of(folder, "loop"), ErrorCode::kIo);
}

TEST(HfFolder, FollowsTheCachesOwnLinks) {
  const TestFolder cache;
  const fs::path snapshot = cache / "models--owner--name/snapshots/0123";
  fs::create_directories(snapshot);
  fs::create_directories(cache / "models--owner--name/blobs");
  fs::create_directories(cache / "models--other--name/blobs");
  put_file(cache / "models--owner--name/blobs/abc", "{}");
  put_file(cache / "models--other--name/blobs/abc", "{}");
  fs::create_symlink("../../blobs/abc", snapshot / "config.json");
  fs::create_symlink("../../../models--other--name/blobs/abc", snapshot / "vocab.txt");
  EXPECT_TRUE(find_in_folder(snapshot, "config.json"));
  EXPECT_EQ(code_of(snapshot, "vocab.txt"), ErrorCode::kBadInput);
}

TEST(HfFolder, ListsWhatIsThere) {
  const TestFolder folder;
  put_file(folder / "config.json", R"({"model_type":"bert","hidden_size":4})");
  put_file(folder / "vocab.txt", "[PAD]\n");
  put_file(folder / "spiece.model", "");
  put_file(folder / "tokenizer_config.json", R"({"do_lower_case":true})");
  put_file(folder / "pytorch_model.bin", "");
  const HfFolder found = open_hf_folder(folder.path());
  EXPECT_EQ(found.config.at("model_type"), "bert");
  EXPECT_EQ(found.vocab_txt, folder / "vocab.txt");
  EXPECT_EQ(found.sentencepiece, folder / "spiece.model");
  EXPECT_TRUE(found.tokenizer_config->at("do_lower_case"));
  EXPECT_FALSE(found.tokenizer_json || found.generation_config || found.merges_txt || found.vocab_json);
  ASSERT_TRUE(found.weights);
  EXPECT_EQ(found.weights->layout, WeightsLayout::kPytorch);
  EXPECT_EQ(found.weights->files, std::vector<fs::path>{folder / "pytorch_model.bin"});
}

TEST(HfFolder, RefusesAFolderWithoutAConfiguration) {
  const TestFolder folder;
  EXPECT_EQ(error_of([&] { open_hf_folder(folder.path()); })->code(), ErrorCode::kIo);
  EXPECT_EQ(error_of([&] { open_hf_folder(folder / "absent"); })->code(), ErrorCode::kIo);
  for (const char* config : {"", "[]", "{", "{}x", "1", R"({"a":1,"a":2})"}) {
    put_file(folder / "config.json", config);
    EXPECT_EQ(error_of([&] { open_hf_folder(folder.path()); })->code(), ErrorCode::kBadInput) << config;
  }
}

}  // namespace
}  // namespace fettle
