#include "format/tensor_store.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "format/safetensors.h"
#include "format/test_zip.h"

namespace fettle {
namespace {

namespace fs = std::filesystem;

Tensor filled(float value) {
  return Tensor::from(std::vector<float>(6, value), {2, 3});
}

void write_shards(const TestFolder& folder) {
  const std::vector<NamedTensor> first = {{"a", filled(1)}, {"b", filled(2)}, {"extra", filled(9)}};
  const std::vector<NamedTensor> second = {{"c", filled(3)}, {"a", filled(7)}};
  write_safetensors(folder / "model-00001-of-00002.safetensors", first, {{"format", "pt"}});
  write_safetensors(folder / "model-00002-of-00002.safetensors", second);
}

void write_index(const TestFolder& folder, const std::string& map) {
  put_file(folder / "model.safetensors.index.json",
           R"({"metadata":{"total_size":123456789},"weight_map":)" + map + "}");
}

const std::string kGoodMap = R"({"c":"model-00002-of-00002.safetensors","a":"model-00001-of-00002.safetensors",)"
                             R"("b":"model-00001-of-00002.safetensors"})";

TEST(TensorStore, OpensASafetensorsFolderAndFile) {
  const TestFolder folder;
  const std::vector<NamedTensor> tensors = {{"a", filled(1)}, {"b", filled(2)}};
  write_safetensors(folder / "model.safetensors", tensors, {{"format", "pt"}});
  put_file(folder / "pytorch_model.bin", "never looked at");
  fs::copy_file(folder / "model.safetensors", folder / "renamed.bin");
  for (const fs::path& path : {folder.path(), folder / "model.safetensors", folder / "renamed.bin"}) {
    SCOPED_TRACE(path.filename());
    const TensorStore store = TensorStore::open(path);
    EXPECT_EQ(store.names(), (std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(store.get("b").floats()[5], 2.0f);
    EXPECT_EQ(store.find("c"), nullptr);
    EXPECT_EQ(store.files().size(), 1u);
    EXPECT_EQ(store.metadata().at("format"), "pt");
    store.drop_pages();
    EXPECT_EQ(store.get("a").floats()[0], 1.0f);
    const std::optional<Error> error = error_of([&] { store.get("c"); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), ErrorCode::kBadInput);
    EXPECT_EQ(std::string(error->what()), store.files()[0].string() + ": has no tensor 'c'");
  }
}

TEST(TensorStore, OpensShards) {
  const TestFolder folder;
  write_shards(folder);
  write_index(folder, kGoodMap);
  const TensorStore store = TensorStore::open(folder.path());
  EXPECT_EQ(store.names(), (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(store.get("a").floats()[0], 1.0f) << "from the shard that the index names";
  EXPECT_EQ(store.get("c").floats()[0], 3.0f);
  EXPECT_EQ(store.find("extra"), nullptr);
  EXPECT_EQ(store.files(), (std::vector<fs::path>{folder / "model-00001-of-00002.safetensors",
                                                  folder / "model-00002-of-00002.safetensors"}));
  EXPECT_EQ(std::string(error_of([&] { store.get("d"); })->what()), folder.path().string() + ": has no tensor 'd'");
}

TEST(TensorStore, RefusesIndexesThatLie) {
  const TestFolder folder;
  write_shards(folder);
  fs::create_symlink("/dev/zero", folder / "zero.safetensors");
  fs::create_directory(folder / "folder.safetensors");
  const auto code = [&](const std::string& map) {
    write_index(folder, map);
    const std::optional<Error> error = error_of([&] { TensorStore::open(folder.path()); });
    return error ? error->code() : ErrorCode::kFailed;
  };
  EXPECT_EQ(code(R"({"a":"absent.safetensors"})"), ErrorCode::kIo);
  const std::string outside = (folder / "model-00001-of-00002.safetensors").string();
  for (const std::string& map :
       {std::string("[]"), std::string("null"), std::string(R"({"a":1})"), std::string(R"({"a":""})"),
        std::string(R"({"a":".."})"), std::string(R"({"a":"../x"})"), std::string(R"({"a":"zero.safetensors"})"),
        std::string(R"({"a":"folder.safetensors"})"), std::string(R"({"a":"x\u0000.safetensors"})"),
        R"({"a":")" + outside + "\"}", std::string(R"({"nowhere":"model-00001-of-00002.safetensors"})"),
        std::string(R"({"a":"model.safetensors.index.json"})"),
        std::string(R"({"a":"model-00001-of-00002.safetensors","a":"model-00002-of-00002.safetensors"})")}) {
    EXPECT_EQ(code(map), ErrorCode::kBadInput) << map;
  }
  put_file(folder / "model.safetensors.index.json", R"({"metadata":{}})");
  EXPECT_EQ(error_of([&] { TensorStore::open(folder.path()); })->code(), ErrorCode::kBadInput);
  put_file(folder / "model.safetensors.index.json", "[1]");
  EXPECT_EQ(error_of([&] { TensorStore::open(folder.path()); })->code(), ErrorCode::kBadInput);
}

TEST(TensorStore, FoldersWithoutWeights) {
  const TestFolder folder;
  EXPECT_EQ(error_of([&] { TensorStore::open(folder.path()); })->code(), ErrorCode::kIo);
  EXPECT_EQ(error_of([&] { TensorStore::open(folder / "absent"); })->code(), ErrorCode::kIo);
  put_file(folder / "model.safetensors", "");
  EXPECT_EQ(error_of([&] { TensorStore::open(folder.path()); })->code(), ErrorCode::kBadInput);
}

TEST(TensorStore, OpensPytorchShards) {
  const TestFolder folder;
  const auto text = [](const std::string& value) { return "X" + little_endian(value.size(), 4) + value; };
  for (const std::string name : {"a", "b"}) {
    const std::string storage = "(" + text("storage") + "ctorch\nByteStorage\n" + text("0") + text("cpu") + "K\x03tQ";
    const std::string pickle = "\x80\x02}" + text(name) + "ctorch._utils\n_rebuild_tensor_v2\n(" + storage +
                               std::string("K\0", 2) +
                               "K\x03\x85K\x01\x85\x89"
                               "ccollections\nOrderedDict\n)RtRs.";
    put_file(folder / ("shard-" + name + ".bin"),
             TestZip::of({{"x/data.pkl", pickle}, {"x/data/0", name + "yz"}}).bytes());
  }
  put_file(folder / "pytorch_model.bin.index.json", R"({"weight_map":{"a":"shard-a.bin","b":"shard-b.bin"}})");
  const TensorStore store = TensorStore::open(folder.path());
  EXPECT_EQ(store.names(), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(std::memcmp(store.get("b").raw(), "byz", 3), 0);
  EXPECT_TRUE(store.metadata().empty());
  EXPECT_EQ(TensorStore::open(folder / "shard-a.bin").names(), std::vector<std::string>{"a"});
}

}  // namespace
}  // namespace fettle
