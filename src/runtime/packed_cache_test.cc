// Sessions that keep packed weights in a file give the answers of those that do not, whatever happens to the file.
#include "runtime/packed_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "base/checksum.h"
#include "base/error.h"
#include "base/faulty_os.h"
#include "base/file.h"
#include "base/scratch_folder.h"
#include "kernels/dispatch.h"
#include "runtime/session.h"
#include "runtime/test_graphs.h"

namespace fettle {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

struct Format {
  std::string name;
  Encoding encoding;
  Precision precision = Precision::kF32;
};

std::vector<Format> formats() {
  const Encoding f32 = Encoding::dense(DType::kF32);
  Encoding int8_weights_alone = Encoding::int8_channel();
  int8_weights_alone.input_bits = 16;
  Encoding of_zero_points = Encoding::int4_group(32, 8);
  of_zero_points.asymmetric = true;
  Encoding of_rows = Encoding::int4_group(0, 8);
  of_rows.bits = 3;
  Encoding of_eight_bits = Encoding::int4_group(32, 8);
  of_eight_bits.bits = 8;
  Encoding of_all = Encoding::int8_channel();
  of_all.per_tensor = true;
  return {{"f32", f32},
          {"f32 as bf16", f32, Precision::kBF16},
          {"bf16", Encoding::dense(DType::kBF16)},
          {"int8", Encoding::int8_channel()},
          {"int8, 16-bit inputs", int8_weights_alone},
          {"int4, 8-bit inputs", Encoding::int4_group(32, 8)},
          {"int4, 16-bit inputs", Encoding::int4_group(32, 16)},
          {"int4 with zero points", of_zero_points},
          {"int3, a scale for each row", of_rows},
          {"int8 in groups", of_eight_bits},
          {"int8, a scale for all", of_all},
          {"int4, groups that tables have no kernels for", Encoding::int4_group(8, 8)}};
}

Model encoded(Model model, const Encoding& encoding) {
  for (const std::string& name : model.parameters.names()) {
    const EncodedTensor& value = model.parameters.get(name);
    if (value.shape.size() != 2 || name.find("layer.") == std::string::npos) continue;
    model.parameters.set(name, encoding.kind == EncodingKind::kDense
                                   ? EncodedTensor::dense(value.data.to(encoding.dense_dtype))
                                   : encode(value.decode(), encoding));
  }
  return model;
}

Model small_model(uint64_t seed = 1) {
  return test::random_model(test::small_config(Architecture::kBert, 5), seed);
}

// A model folder; its cache file stays when the model is written again.
class Kept : public testing::Test {
 protected:
  fs::path model_folder() const { return folder_ / "m"; }
  fs::path file() const { return model_folder() / packed_cache_name(best_table().name, ""); }

  void save(const Model& model) const {
    fs::create_directories(model_folder());
    save_model(model, folder_ / "new", true);
    for (const char* name : {"config.json", "model.safetensors"}) {
      fs::rename(folder_ / "new" / name, model_folder() / name);
    }
  }

  std::vector<float> answers(Session& session) const {
    const Tensor logits = session.classify(test::random_batch({5, 40, 1, 12}, 97, 3));
    return {logits.floats().begin(), logits.floats().end()};
  }
  // Of a session that is made for it.
  std::vector<float> answers(SessionOptions options, bool with_cache = true) {
    options.n_threads = options.n_threads > 0 ? options.n_threads : 1;
    options.packed_cache = with_cache;
    testing::internal::CaptureStderr();
    Session session(std::make_shared<const Model>(load_model(model_folder())), options);
    said_ = testing::internal::GetCapturedStderr();
    return answers(session);
  }
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(model_folder())) names.push_back(entry.path().filename());
    std::ranges::sort(names);
    return names;
  }

  // What the file is when nothing is wrong; sessions after that only read it.
  void expect_kept(const std::string& before, const std::string& reason) {
    EXPECT_THAT(said_, AllOf(HasSubstr("packed anew"), HasSubstr(reason)));
    EXPECT_TRUE(read_file(file()) == before);
    answers(SessionOptions{});
    EXPECT_EQ(said_, "");
  }

  void SetUp() override { set_os(&unsynced_); }
  void TearDown() override { set_os(nullptr); }

  ScratchFolder folder_;
  UnsyncedOs unsynced_;
  std::string said_;
};

TEST_F(Kept, EveryTableAndEncodingGivesTheSameBits) {
  for (const Format& format : formats()) {
    for (const KernelTable* table : supported_tables()) {
      SCOPED_TRACE(testing::Message() << format.name << ", " << table->name);
      fs::remove_all(model_folder());
      save(encoded(small_model(), format.encoding));
      const SessionOptions options{.isa = std::string(table->name), .precision = format.precision};
      const std::vector<float> expected = answers(options, false);
      EXPECT_EQ(files(), (std::vector<std::string>{"config.json", "model.safetensors"}));
      EXPECT_EQ(answers(options), expected);
      EXPECT_THAT(said_, AllOf(HasSubstr("are kept"), Not(HasSubstr("anew"))));
      ASSERT_EQ(files().size(), 3u);
      const fs::path kept =
          model_folder() / packed_cache_name(table->name, format.precision == Precision::kBF16 ? "bf16" : "");
      const auto written = fs::last_write_time(kept);
      EXPECT_EQ(answers(options), expected);
      EXPECT_EQ(answers({.n_threads = 3, .isa = options.isa, .precision = format.precision}), expected);
      EXPECT_EQ(said_, "");
      EXPECT_EQ(fs::last_write_time(kept), written);
    }
  }
}

// The weights really come from the file: with others in it, and all checksums right, so are the answers.
TEST_F(Kept, ImagesAreUsedWhereTheyLie) {
  save(encoded(small_model(), Encoding::int8_channel()));
  const std::vector<float> expected = answers(SessionOptions{});
  const PackedFile kept = PackedFile::open(file());
  std::vector<PackedEntry> entries = kept.entries();
  std::vector<std::byte> changed(entries[0].bytes.begin(), entries[0].bytes.end());
  changed[0] ^= std::byte{0x3f};
  entries[0].bytes = changed;
  entries[0].checksum = checksum64(changed);
  write_packed_file(file(), kept.table(), kept.packing(), entries);
  EXPECT_NE(answers(SessionOptions{}), expected);
  EXPECT_EQ(said_, "");
}

TEST_F(Kept, DamageIsSeenAndMended) {
  save(encoded(small_model(), Encoding::int8_channel()));
  const std::vector<float> expected = answers(SessionOptions{});
  const std::string good = read_file(file());
  const PackedFile kept = PackedFile::open(file());
  for (const PackedEntry& entry : kept.entries()) {
    const auto begin = static_cast<size_t>(good.size() - 1) % entry.bytes.size();
    std::string bad = good;
    char& byte =
        bad[bad.find(std::string(reinterpret_cast<const char*>(entry.bytes.data()), entry.bytes.size())) + begin];
    byte = static_cast<char>(byte ^ 4);
    write_file(file(), bad);
    EXPECT_EQ(answers(SessionOptions{}), expected);
    expect_kept(good, "they are damaged");
  }
  for (const size_t size : {size_t{0}, size_t{10}, size_t{3000}, good.size() / 2, good.size() - 1}) {
    write_file(file(), good.substr(0, size));
    EXPECT_EQ(answers(SessionOptions{}), expected);
    expect_kept(good, "");
  }
  write_file(file(), good + "more");
  EXPECT_EQ(answers(SessionOptions{}), expected);
  expect_kept(good, "its images end at");
}

TEST_F(Kept, OtherWeightsAreSeen) {
  for (const Format& format : formats()) {
    SCOPED_TRACE(format.name);
    save(encoded(small_model(), format.encoding));
    SessionOptions options{.precision = format.precision};
    answers(options);
    Model other = encoded(small_model(), format.encoding);
    // One number of one bias, then of one matrix.
    for (const char* name : {"bert.encoder.layer.1.output.dense.bias", "bert.encoder.layer.1.output.dense.weight"}) {
      Tensor data = other.parameters.get(name).data.clone();
      *static_cast<uint8_t*>(data.raw_mutable()) ^= 1;
      EncodedTensor changed = other.parameters.get(name);
      changed.data = data;
      other.parameters.set(name, changed);
      save(other);
      const std::vector<float> expected = answers(options, false);
      EXPECT_EQ(answers(options), expected) << name;
      EXPECT_THAT(said_, HasSubstr("the model's weights are others")) << name;
      EXPECT_EQ(answers(options), expected) << name;
      EXPECT_EQ(said_, "") << name;
    }
  }
}

TEST_F(Kept, OtherScalesAreSeen) {
  Model model = encoded(small_model(), Encoding::int8_channel());
  save(model);
  answers(SessionOptions{});
  const std::string name = "bert.encoder.layer.0.attention.self.key.weight";
  EncodedTensor changed = model.parameters.get(name);
  changed.scales = changed.scales.clone();
  changed.scales.mutable_data<float>()[3] *= 1.5f;
  model.parameters.set(name, changed);
  save(model);
  const std::vector<float> expected = answers(SessionOptions{}, false);
  EXPECT_EQ(answers(SessionOptions{}), expected);
  EXPECT_THAT(said_, HasSubstr("the model's weights are others"));
}

TEST_F(Kept, OtherShapesAndEncodingsAreSeen) {
  save(small_model());
  answers(SessionOptions{});
  ModelConfig shorter = test::small_config(Architecture::kBert, 5);
  shorter.layers.pop_back();
  for (const Model& model : {encoded(small_model(), Encoding::int8_channel()), test::random_model(shorter, 1)}) {
    save(model);
    const std::vector<float> expected = answers(SessionOptions{}, false);
    EXPECT_EQ(answers(SessionOptions{}), expected);
    EXPECT_THAT(said_, HasSubstr("packed anew"));
    EXPECT_EQ(answers(SessionOptions{}), expected);
    EXPECT_EQ(said_, "");
  }
}

TEST_F(Kept, WhatTheModelDoesNotHaveIsDropped) {
  save(small_model());
  const std::vector<float> expected = answers(SessionOptions{});
  const std::string good = read_file(file());
  const PackedFile kept = PackedFile::open(file());
  std::vector<PackedEntry> entries = kept.entries();
  entries.push_back(entries[0]);
  entries.back().source.name = "bert.encoder.layer.9.output.dense.weight\n";
  write_packed_file(file(), kept.table(), kept.packing(), entries);
  EXPECT_EQ(answers(SessionOptions{}), expected);
  expect_kept(good, "the model has not all that was packed");
}

TEST_F(Kept, FilesOfOtherTablesAndVersionsAreNotUsed) {
  save(encoded(small_model(), Encoding::int8_channel()));
  const std::vector<float> expected = answers(SessionOptions{});
  const std::string good = read_file(file());
  const PackedFile kept = PackedFile::open(file());
  write_packed_file(file(), "neon", kept.packing(), kept.entries());
  EXPECT_EQ(answers(SessionOptions{}), expected);
  expect_kept(good, "they are for the kernel table \"neon\"");
  write_packed_file(file(), kept.table(), kept.packing() + 1, kept.entries());
  EXPECT_EQ(answers(SessionOptions{}), expected);
  expect_kept(good, "another version packed them in another way");
  // An image that is not of the size of its weights, though its checksum is right.
  std::vector<PackedEntry> entries = kept.entries();
  entries[1].bytes = entries[1].bytes.first(entries[1].bytes.size() - 64);
  entries[1].checksum = checksum64(entries[1].bytes);
  write_packed_file(file(), kept.table(), kept.packing(), entries);
  EXPECT_EQ(answers(SessionOptions{}), expected);
  expect_kept(good, "bytes, not");
}

TEST_F(Kept, WhatCannotBeWrittenIsOneWarning) {
  save(small_model());
  const std::vector<float> expected = answers(SessionOptions{}, false);
  for (const int step : {0, 1, 2, 3}) {
    FaultyOs faulty;
    if (step == 0) faulty.open_fault = {.after = 0, .error = EACCES};
    if (step == 1) faulty.write_fault = {.after = 0, .error = ENOSPC};
    if (step == 2) faulty.fsync_fault = {.after = 0, .error = EIO};
    if (step == 3) faulty.rename_fault = {.after = 0, .error = EROFS};
    EXPECT_EQ(answers(SessionOptions{}), expected);
    EXPECT_THAT(said_, HasSubstr("packed weights are not kept: "));
    EXPECT_EQ(std::ranges::count(said_, '\n'), 1) << said_;
    EXPECT_EQ(files(), (std::vector<std::string>{"config.json", "model.safetensors"}));
  }
  fs::create_directory(file());
  EXPECT_EQ(answers(SessionOptions{}), expected);
  EXPECT_THAT(said_, HasSubstr("is a folder"));
}

TEST_F(Kept, AFolderThatMayNotBeWrittenTo) {
  if (::geteuid() == 0) GTEST_SKIP() << "the superuser may write everywhere";
  save(small_model());
  const std::vector<float> expected = answers(SessionOptions{}, false);
  fs::permissions(model_folder(), fs::perms::owner_read | fs::perms::owner_exec);
  EXPECT_EQ(answers(SessionOptions{}), expected);
  fs::permissions(model_folder(), fs::perms::owner_all);
  EXPECT_THAT(said_, HasSubstr("packed weights are not kept: cannot create: Permission denied"));
}

TEST_F(Kept, ProcessesAtOnceDoNotHarmEachOther) {
  save(encoded(small_model(), Encoding::int8_channel()));
  const std::vector<float> expected = answers(SessionOptions{}, false);
  std::vector<pid_t> children;
  for (int i = 0; i < 6; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      bool same = true;
      for (int turn = 0; turn < 8; ++turn) {
        if (turn % 2 == i % 2) fs::remove(file());
        Session session(std::make_shared<const Model>(load_model(model_folder())),
                        {.n_threads = 1, .packed_cache = true});
        same = same && answers(session) == expected;
      }
      ::_exit(same ? 0 : 1);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  }
  answers(SessionOptions{});
  EXPECT_EQ(answers(SessionOptions{}), expected);
  EXPECT_EQ(said_, "");
  EXPECT_EQ(files().size(), 3u);
}

// A session goes on with the file that it has mapped when somebody puts another one there.
TEST_F(Kept, TheFileMayBeReplacedWhileItIsUsed) {
  save(encoded(small_model(), Encoding::int8_channel()));
  const std::vector<float> expected = answers(SessionOptions{});
  Session session(std::make_shared<const Model>(load_model(model_folder())), {.n_threads = 1, .packed_cache = true});
  write_file(file(), "something else");
  fs::remove(file());
  EXPECT_EQ(answers(session), expected);
  const auto shared = session.share(2);
  EXPECT_EQ(answers(*shared), expected);
  EXPECT_EQ(session.hidden(test::random_batch({5}, 97, 3)).dim(0), 5);
  EXPECT_FALSE(fs::exists(file())) << "only the first session of a model writes";
}

TEST_F(Kept, OnlyTheFastPathOfModelsFromFoldersIsKept) {
  save(small_model());
  answers({.fast_path = false});
  answers({.reference = true});
  EXPECT_EQ(files(), (std::vector<std::string>{"config.json", "model.safetensors"}));
  const Session session(std::make_shared<const Model>(small_model()), {.n_threads = 1, .packed_cache = true});
  EXPECT_EQ(session.model().source, "");
}

// Weights that are changed after loading are packed as they are, not as the file has them.
TEST_F(Kept, ModelsThatWereChangedInMemory) {
  save(small_model());
  answers(SessionOptions{});
  Model model = load_model(model_folder());
  for (const std::string& name : model.parameters.names()) {
    model.parameters.set(name, small_model(9).parameters.get(name));
  }
  const auto changed = std::make_shared<const Model>(std::move(model));
  Session plain(changed, {.n_threads = 1});
  Session kept(changed, {.n_threads = 1, .packed_cache = true});
  EXPECT_EQ(answers(kept), answers(plain));
}

}  // namespace
}  // namespace fettle
