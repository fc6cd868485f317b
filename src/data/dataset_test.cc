#include "data/dataset.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "base/error.h"
#include "base/philox.h"
#include "base/scratch_folder.h"

namespace fettle {
namespace {

class DatasetTest : public ::testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& content) {
    const auto path = folder_.path() / name;
    std::ofstream(path, std::ios::binary) << content;
    return path.string();
  }
  // The error's message; "" when there is none.
  std::string error_of(const std::string& spec, const DataOptions& options = {}) {
    try {
      load_dataset(spec, options);
    } catch (const Error& error) {
      code_ = error.code();
      return error.what();
    }
    return "";
  }
  ErrorCode code_ = ErrorCode::kFailed;
  ScratchFolder folder_;
};

TEST_F(DatasetTest, CsvWithQuotesLineEndsAndByteOrderMark) {
  const auto path =
      write("a.csv", "\xef\xbb\xbftext,extra,label\r\n\"a, \"\"b\"\"\nc\",1,x\r\n,2,y\r\nplain \"q\" text,3,x");
  const Dataset data = load_dataset(path);
  ASSERT_EQ(data.examples.size(), 3u);
  EXPECT_EQ(data.examples[0].text, "a, \"b\"\nc");
  EXPECT_EQ(data.examples[1].text, "");
  EXPECT_EQ(data.examples[2].text, "plain \"q\" text");
  EXPECT_EQ(data.labels, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(data.examples[1].label, 1);
  EXPECT_EQ(data.oos_label, -1);
}

TEST_F(DatasetTest, TsvByColumnNumberWithoutHeader) {
  const auto path = write("a.tsv", "2\tred, green\n10\tblue\n2\tgrey\n");
  const Dataset data = load_dataset(path, {.text_column = "2", .label_column = "1"});
  ASSERT_EQ(data.examples.size(), 3u);
  EXPECT_EQ(data.examples[0].text, "red, green");
  EXPECT_EQ(data.labels, (std::vector<std::string>{"2", "10"}));  // numbers by value
}

TEST_F(DatasetTest, JsonLines) {
  const auto path = write(
      "a.jsonl", "{\"text\":\"a\",\"label\":\"x\"}\r\n\n{\"label\":null,\"text\":\"\\u0000b\",\"text_pair\":\"c\"}");
  const Dataset data = load_dataset(path);
  ASSERT_EQ(data.examples.size(), 2u);
  EXPECT_EQ(data.examples[1].text, std::string("\0b", 2));
  EXPECT_EQ(data.examples[1].text_pair, "c");
  EXPECT_EQ(data.examples[1].label, kUnlabelled);
}

TEST_F(DatasetTest, SetsOfLabels) {
  using Set = std::vector<int32_t>;
  const DataOptions sets{.label_kind = LabelKind::kSet};
  const Dataset json = load_dataset(
      write("a.jsonl",
            "{\"text\":\"1\",\"labels\":[\"b\",\"a\",\"b\"]}\n{\"text\":\"2\",\"labels\":[]}\n{\"text\":\"3\"}\n"
            "{\"text\":\"4\",\"labels\":\"c|d\"}\n{\"text\":\"5\",\"labels\":null,\"label\":[\"z\"]}\n"),
      sets);
  EXPECT_EQ(json.label_kind, LabelKind::kSet);
  EXPECT_EQ(json.labels, (std::vector<std::string>{"a", "b", "c|d"}));
  EXPECT_EQ(json.examples[0].label_set, (Set{0, 1}));
  EXPECT_EQ(json.examples[1].label_set, Set{});
  EXPECT_FALSE(json.examples[2].label_set.has_value());
  EXPECT_EQ(json.examples[3].label_set, Set{2});
  EXPECT_FALSE(json.examples[4].label_set.has_value());
  for (const Example& example : json.examples) EXPECT_EQ(example.label, kUnlabelled);

  const std::string csv = write("a.csv", "text,labels\nx,b|a\ny,\nz,c\n");
  const Dataset table = load_dataset(csv, sets);
  EXPECT_EQ(table.labels, (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(table.examples[0].label_set, (Set{0, 1}));
  EXPECT_EQ(table.examples[1].label_set, Set{});
  EXPECT_EQ(table.examples[2].label_set, Set{2});
  DataOptions others = sets;
  others.label_separator = "b|";
  EXPECT_EQ(load_dataset(csv, others).labels, (std::vector<std::string>{"", "a", "c"}));
  EXPECT_NE(error_of(csv, {.label_kind = LabelKind::kSet, .labels = {"a", "b"}}).find("row 4: label 'c'"),
            std::string::npos);
  EXPECT_NE(error_of(write("b.jsonl", "{\"text\":\"1\",\"labels\":[1.5]}"), sets).find("whole number"),
            std::string::npos);
  EXPECT_NE(error_of(write("c.jsonl", "{\"text\":\"1\",\"labels\":[null]}"), sets).find("null"), std::string::npos);
}

TEST_F(DatasetTest, NumbersAsLabels) {
  const DataOptions numbers{.label_kind = LabelKind::kNumber};
  const Dataset json = load_dataset(write("a.jsonl",
                                          "{\"text\":\"1\",\"label\":-2}\n{\"text\":\"2\",\"label\":\"3.5e1\"}\n"
                                          "{\"text\":\"3\"}\n{\"text\":\"4\",\"label\":0.25}\n"),
                                    numbers);
  EXPECT_EQ(json.labels, std::vector<std::string>{"LABEL_0"});
  EXPECT_EQ(json.examples[0].number, -2);
  EXPECT_EQ(json.examples[1].number, 35);
  EXPECT_TRUE(std::isnan(json.examples[2].number));
  EXPECT_EQ(json.examples[3].number, 0.25);
  const Dataset table = load_dataset(write("a.csv", "text,label\nx,+1.5\ny,\n"), numbers);
  EXPECT_EQ(table.examples[0].number, 1.5);
  EXPECT_TRUE(std::isnan(table.examples[1].number));
  for (const char* bad : {"x", "1.5x", "nan", "inf", "1e999", "0x10", " 1", "+-1"}) {
    const std::string message = error_of(write("b.csv", std::string("text,label\nx,") + bad + "\n"), numbers);
    EXPECT_NE(message.find("row 2"), std::string::npos) << bad;
    EXPECT_NE(message.find("is not a number"), std::string::npos) << message;
  }
  EXPECT_NE(error_of(write("b.jsonl", "{\"text\":\"1\",\"label\":[1]}"), numbers).find("not a number"),
            std::string::npos);
}

TEST_F(DatasetTest, LabelOrders) {
  const auto path =
      write("a.json", R"([{"text":"1","label":"b"},{"text":"2","label":"oos"},{"text":"3","label":"a"}])");
  EXPECT_EQ(read_labels(path), (std::vector<std::string>{"a", "b", "oos"}));
  EXPECT_EQ(read_labels(path, {.label_order = LabelOrder::kFirstSeen}), (std::vector<std::string>{"b", "oos", "a"}));
  EXPECT_EQ(load_dataset(path).oos_label, 2);
  const Dataset given = load_dataset(path, {.labels = {"oos", "b", "c", "a"}});
  EXPECT_EQ(given.examples[2].label, 3);
  EXPECT_EQ(given.oos_label, 0);
  EXPECT_NE(error_of(path, {.labels = {"a", "b"}}).find("row 2: label 'oos'"), std::string::npos);
  EXPECT_EQ(code_, ErrorCode::kBadInput);
}

TEST_F(DatasetTest, NumbersStandForGivenLabels) {
  const auto path = write("a.jsonl", "{\"text\":\"a\",\"label\":1}\n");
  EXPECT_EQ(load_dataset(path, {.labels = {"no", "yes"}}).examples[0].label, 1);
  EXPECT_NE(error_of(path, {.labels = {"only"}}), "");
}

TEST_F(DatasetTest, TextKeepsEmptyLines) {
  const Dataset data = load_dataset(write("a.txt", "one\r\n\ntwo"));
  ASSERT_EQ(data.examples.size(), 3u);
  EXPECT_EQ(data.examples[0].text, "one");
  EXPECT_EQ(data.examples[1].text, "");
  EXPECT_TRUE(data.labels.empty());
}

TEST_F(DatasetTest, SplitsOfAnObject) {
  const auto path = write("c.json", R"({"train":[["a","x"]],"val":[["b","y"]],"oos_train":[["c","oos"]],"n":1})");
  EXPECT_EQ(load_dataset(path + "#train").examples.size(), 1u);
  EXPECT_EQ(load_dataset(path + "#validation").examples[0].text, "b");
  const Dataset with = load_dataset(path + "#train", {.include_oos = true, .oos_name = "other"});
  ASSERT_EQ(with.examples.size(), 2u);
  EXPECT_EQ(with.labels[with.oos_label], "other");
  EXPECT_NE(error_of(path).find("splits: train, val, oos_train"), std::string::npos);
  EXPECT_NE(error_of(path + "#tset").find("no split 'tset'"), std::string::npos);
  EXPECT_NE(error_of(path + "#n"), "");
  EXPECT_NE(error_of(path + "#val", {.include_oos = true}), "");
}

TEST_F(DatasetTest, MalformedRowsAreNamed) {
  const struct {
    const char* name;
    std::string content;
    const char* message;
  } cases[] = {
      {"a.csv", "text,label\na\n", "row 2: has 1 fields"},
      {"b.csv", "text,label\na,b,c\n", "row 2: has 3 fields"},
      {"c.csv", "text,label\n\"a\nb\"x,y\n", "row 2: has text after the closing quote"},
      {"d.csv", "text,label\nx,y\n\"never ends", "row 3: has a quoted field that never ends"},
      {"e.csv", "query,label\nx,y\n", "no column 'text' (it has: query, label)"},
      {"f.csv", "", "holds no examples"},
      {"g.csv", "text,label\n", "holds no examples"},
      {"h.jsonl", "{\"text\":\"a\"}\n{\"text\":1}\n", "row 2: 'text' is not a string"},
      {"i.jsonl", "{\"text\":\"a\"}\n{\"text\":\"a\"\n", "row 2"},
      {"j.jsonl", "{\"label\":\"a\"}\n", "row 1: has no 'text'"},
      {"k.jsonl", "{\"text\":\"a\",\"label\":[1]}\n", "row 1: 'label' is neither"},
      {"l.jsonl", "[1]\n", "row 1: is not an object"},
      {"m.jsonl", "", "holds no examples"},
      {"n.json", "[]", "holds no examples"},
      {"o.json", "{\"train\":[[\"a\"]]}", "needs a split"},
      {"p.json", "3", "neither a list nor an object"},
      {"q.txt", "good\nbad \xc3(\n", "not valid UTF-8 at byte 9, line 2"},
      {"r.txt", "\xed\xa0\x80", "not valid UTF-8"},
      {"s.json", std::string(100, '['), "s.json"},
  };
  for (const auto& c : cases) {
    const std::string error = error_of(write(c.name, c.content));
    EXPECT_NE(error.find(c.message), std::string::npos) << c.name << ": " << error;
    EXPECT_EQ(code_, ErrorCode::kBadInput) << c.name;
    EXPECT_EQ(error.find('\n'), std::string::npos) << c.name;
  }
}

TEST_F(DatasetTest, FilesThatCannotBeRead) {
  EXPECT_NE(error_of((folder_.path() / "absent.csv").string()), "");
  EXPECT_EQ(code_, ErrorCode::kIo);
  EXPECT_NE(error_of(write("a.parquet", "x")), "");
  EXPECT_EQ(code_, ErrorCode::kUsage);
  std::filesystem::create_directory(folder_.path() / "folder.csv");
  EXPECT_NE(error_of((folder_.path() / "folder.csv").string()), "");
}

TEST_F(DatasetTest, LongTextsAndNulBytes) {
  const std::string long_text(size_t{1} << 20, 'a');
  EXPECT_EQ(load_dataset(write("a.csv", "text,label\n" + long_text + ",x\n")).examples[0].text.size(),
            long_text.size());
  EXPECT_EQ(load_dataset(write("b.txt", std::string(3, '\0'))).examples[0].text, std::string(3, '\0'));
}

// Every cut and every changed byte of small files either loads or is refused in one line.
TEST_F(DatasetTest, DamagedFilesNeverCrash) {
  const std::pair<const char*, std::string> files[] = {
      {"a.csv", "text,label\n\"x \"\"y\"\"\",a\nb,c\n"},
      {"b.jsonl", "{\"text\":\"x\",\"label\":\"y\"}\n{\"text\":\"\\u00e9\"}\n"},
      {"c.json", "[{\"text\":\"x\",\"label\":\"y\"}]"},
  };
  Philox random(1);
  for (const auto& [name, content] : files) {
    for (size_t cut = 0; cut < content.size(); ++cut) {
      EXPECT_EQ(error_of(write(name, content.substr(0, cut))).find('\n'), std::string::npos);
      std::string changed = content;
      changed[cut] = static_cast<char>(random.below(256));
      EXPECT_EQ(error_of(write(name, changed)).find('\n'), std::string::npos);
    }
  }
}

TEST(Clinc150, MatchesItsPublishedNumbers) {
  const std::filesystem::path folder = FETTLE_SOURCE_DIR "/../shared/data/datasets/clinc150";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no shared data";
  DataOptions options{.include_oos = true, .label_order = LabelOrder::kHuggingFace};
  const std::string plus = (folder / "data_oos_plus.json").string();
  const Dataset train = load_dataset(plus + "#train", options);
  const Dataset test = load_dataset(plus + "#test", options);
  EXPECT_EQ(train.examples.size(), 15250u);
  EXPECT_EQ(load_dataset(plus + "#val", options).examples.size(), 3100u);
  ASSERT_EQ(test.examples.size(), 5500u);
  EXPECT_EQ(test.labels.size(), 151u);
  EXPECT_EQ(test.oos_label, 42);
  EXPECT_EQ(test.examples[0].label, 61);
  EXPECT_EQ(test.examples[42].text, "transfer $100 from my checking to saving account");
  EXPECT_EQ(test.examples[42].label, 133);
}

// Sizes of the splits in scope and out of scope, and the three orders of labels.
TEST(Clinc150, EveryVariantLoads) {
  const std::filesystem::path folder = FETTLE_SOURCE_DIR "/../shared/data/datasets/clinc150";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no shared data";
  const struct {
    const char* file;
    size_t n_train;
    size_t n_oos_train;
  } variants[] = {{"data_full.json", 15000, 100},
                  {"data_small.json", 7500, 100},
                  {"data_imbalanced.json", 10525, 100},
                  {"data_oos_plus.json", 15000, 250}};
  for (const auto& variant : variants) {
    SCOPED_TRACE(variant.file);
    const std::string file = (folder / variant.file).string();
    const Dataset train = load_dataset(file + "#train");
    EXPECT_EQ(train.examples.size(), variant.n_train);
    EXPECT_EQ(train.labels.size(), 150u);
    EXPECT_EQ(train.oos_label, -1);
    EXPECT_TRUE(std::is_sorted(train.labels.begin(), train.labels.end()));
    const Dataset open = load_dataset(file + "#train", {.include_oos = true, .label_order = LabelOrder::kFirstSeen});
    EXPECT_EQ(open.examples.size(), variant.n_train + variant.n_oos_train);
    EXPECT_EQ(open.labels.size(), 151u);
    EXPECT_EQ(open.oos_label, 150) << "the out-of-scope examples come last";
    EXPECT_EQ(open.examples[0].label, 0);
    DataOptions options{.include_oos = true, .label_order = LabelOrder::kHuggingFace};
    EXPECT_EQ(load_dataset(file + "#val", options).examples.size(), 3100u);
    const Dataset test = load_dataset(file + "#test", options);
    EXPECT_EQ(test.examples.size(), 5500u);
    EXPECT_EQ(std::count_if(test.examples.begin(), test.examples.end(), [](const Example& e) { return e.label == 42; }),
              1000);
  }
}

TEST(Banking77, Loads) {
  const std::filesystem::path path = FETTLE_SOURCE_DIR "/../shared/data/datasets/banking77/test.csv";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no shared data";
  const Dataset data = load_dataset(path.string(), {.label_column = "category"});
  EXPECT_EQ(data.examples.size(), 3080u);
  EXPECT_EQ(data.labels.size(), 77u);
}

}  // namespace
}  // namespace fettle
