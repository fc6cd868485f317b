// Pickles put together by hand, one operation a line, against the machine and against whole files.
#include "format/pickle.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "format/pytorch_bin.h"
#include "format/test_zip.h"

namespace fettle {
namespace {

std::string text(const std::string& value) {
  return "X" + little_endian(value.size(), 4) + value;
}
std::string number(uint64_t value) {
  return "J" + little_endian(value, 4);
}
std::string large(uint64_t value) {
  return "\x8a\x08" + little_endian(value, 8);
}
const std::string kRebuild = "ctorch._utils\n_rebuild_tensor_v2\n";
const std::string kHooks = "ccollections\nOrderedDict\n)R";

std::string persistent(const std::string& type, const std::string& key, const std::string& size,
                       const std::string& view = "") {
  return "(" + text("storage") + "ctorch\n" + type + "\n" + text(key) + text("cpu") + size + view + "tQ";
}

std::string tensor(const std::string& storage, const std::string& offset, const std::string& shape,
                   const std::string& strides) {
  return kRebuild + "(" + storage + offset + "(" + shape + "t(" + strides + "t\x89" + kHooks + "tR";
}

// {"w": VALUE}
std::string state_dict(const std::string& value) {
  return "\x80\x02}" + text("w") + value + "s.";
}

// A checkpoint of the zip layout with one storage, "0", of eight bytes.
std::string archive(const std::string& pickle) {
  return TestZip::of({{"m/data.pkl", pickle}, {"m/data/0", std::string("\0\0\x80\x3f\0\0\0\x40", 8)}}).bytes();
}

// The tensor "w" as text; the Error when the file is refused.
std::string outcome(const std::string& file) {
  const auto [bytes, owner] = exact_block(file);
  try {
    const PytorchFile opened = PytorchFile::from_bytes(bytes, owner, "p");
    const Tensor& w = opened.tensor("w");
    std::string result = std::string(dtype_name(w.dtype())) + shape_to_string(w.shape());
    if (w.dtype() == DType::kF32) {
      for (const float value : w.floats()) result += fmt::format(" {:g}", value);
    }
    return result;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kBadInput) << error.what();
    const std::string what = error.what();
    EXPECT_EQ(what.find('\n'), std::string::npos) << what;
    EXPECT_EQ(what.substr(0, 2), "p:") << what;
    EXPECT_LT(what.size(), 400u) << what;
    return "refused: " + what;
  }
}

void expect_refused(const std::string& pickle, const std::string& why) {
  const std::string result = outcome(archive(pickle));
  EXPECT_TRUE(result.starts_with("refused") && result.find(why) != std::string::npos) << why << ": " << result;
}

const std::string kFloats = persistent("FloatStorage", "0", number(2));
const std::string kGood = state_dict(tensor(kFloats, number(0), number(2), number(1)));

TEST(Pickle, ReadsATensor) {
  EXPECT_EQ(outcome(archive(kGood)), "f32[2] 1 2");
  EXPECT_EQ(outcome(archive(state_dict(tensor(kFloats, number(1), "", "")))), "f32[] 2");
  EXPECT_EQ(outcome(archive(state_dict(tensor(kFloats, number(1), number(3), number(0))))), "f32[3] 2 2 2");
  EXPECT_EQ(
      outcome(archive(state_dict(tensor(persistent("ByteStorage", "0", number(8)), number(0), number(8), number(1))))),
      "u8[8]");
}

TEST(Pickle, ReadsDictionariesAsPython2WritesThem) {
  const std::string pair = "]" + ("(" + text("w") + tensor(kFloats, number(0), number(2), number(1)) + "e");
  EXPECT_EQ(outcome(archive("\x80\x02"
                            "ccollections\nOrderedDict\n]" +
                            pair + "a\x85R.")),
            "f32[2] 1 2");
}

TEST(Pickle, ReadsViewsOfStorages) {
  const std::string view = "(" + text("v") + number(1) + number(1) + "t";
  const std::string storage = persistent("FloatStorage", "0", number(2), view);
  EXPECT_EQ(outcome(archive(state_dict(tensor(storage, number(0), number(1), number(1))))), "f32[1] 2");
  expect_refused(state_dict(tensor(storage, number(0), number(2), number(1))), "reaches out");
  // The same storage whole, after its view.
  EXPECT_EQ(outcome(archive("\x80\x02}(" + text("v") + tensor(storage, number(0), number(1), number(1)) + text("w") +
                            tensor(kFloats, number(0), number(2), number(1)) + "u.")),
            "f32[2] 1 2");
  const std::string outside = "(" + text("v") + number(1) + number(2) + "t";
  expect_refused(
      state_dict(tensor(persistent("FloatStorage", "0", number(2), outside), number(0), number(1), number(1))),
      "out of its storage");
}

TEST(Pickle, ExecutesNothing) {
  expect_refused(
      "\x80\x02"
      "cos\nsystem\n" +
          text("true") + "\x85R.",
      "os.system");
  expect_refused("\x80\x04" + text("builtins") + text("eval") + "\x93" + text("1") + "\x85R.", "builtins.eval");
  expect_refused(
      "\x80\x02"
      "ctorch\nload\n.",
      "torch.load");
  expect_refused(
      "\x80\x02"
      "ccollections\nOrderedDict.popitem\n.",
      "OrderedDict.popitem");
  expect_refused(
      "\x80\x02"
      "c__builtin__\ngetattr\n.",
      "__builtin__.getattr");
  expect_refused(
      "\x80\x02"
      "cevil\n\x1b[31m\n.",
      "evil.?[31m");
  expect_refused(
      "\x80\x02"
      "ios\nsystem\n.",
      "not known here");
  // Attributes are passed over, whatever they are called.
  const std::string attributes = "}" + text("__class__") + text("x") + "sb";
  EXPECT_EQ(outcome(archive(state_dict(tensor(kFloats, number(0), number(2), number(1)) + attributes))), "f32[2] 1 2");
}

TEST(Pickle, RefusesTensorsOutsideTheirStorage) {
  const auto with = [](const std::string& offset, const std::string& shape, const std::string& strides) {
    return state_dict(tensor(kFloats, offset, shape, strides));
  };
  expect_refused(with(number(0), number(3), number(1)), "reaches out");
  expect_refused(with(number(1), number(2), number(1)), "reaches out");
  expect_refused(with(number(2), "", ""), "reaches out");
  expect_refused(with(number(3), number(0), number(1)), "reaches out");
  expect_refused(with(number(0), number(2), number(2)), "reaches out");
  expect_refused(with(large(uint64_t{1} << 62), number(1), number(1)), "reaches out");
  expect_refused(with(number(0xFFFFFFFF), number(1), number(1)), "non-negative");
  expect_refused(with(number(0), number(0xFFFFFFFF), number(1)), "non-negative");
  expect_refused(with(number(0), number(2), number(0xFFFFFFFF)), "non-negative");
  expect_refused(with(number(0), large((uint64_t{1} << 48) + 1), number(0)), "too large");
  expect_refused(with(number(0), large(uint64_t{1} << 48) + large(uint64_t{1} << 48), number(0) + number(0)),
                 "overflow");
  expect_refused(with(number(0), large(uint64_t{1} << 40), number(0)), "repeats its elements");
  expect_refused(with(number(0), number(2), number(1) + number(1)), "more sizes than strides");
  std::string nine;
  for (int i = 0; i < 9; ++i) nine += number(1);
  expect_refused(with(number(0), nine, nine), "more than 8 dimensions");
  expect_refused(with(text("0"), number(2), number(1)), "non-negative");
  expect_refused(with("\x8a\x09" + std::string(9, '\x01'), number(2), number(1)), "non-negative");
}

TEST(Pickle, RefusesStoragesThatLie) {
  const auto with = [](const std::string& storage) {
    return state_dict(tensor(storage, number(0), number(1), number(1)));
  };
  expect_refused(with(persistent("FloatStorage", "0", number(3))), "not as long");
  expect_refused(with(persistent("FloatStorage", "0", number(1))), "not as long");
  expect_refused(with(persistent("DoubleStorage", "0", number(2))), "not as long");
  expect_refused(with(persistent("FloatStorage", "1", number(2))), "not in the archive");
  expect_refused(with(persistent("FloatStorage", "../data/0", number(2))), "not in the archive");
  expect_refused(with(persistent("FloatStorage", "0", large((uint64_t{1} << 62) + 2))), "overflow");
  expect_refused(with(persistent("FloatStorage", "0", number(0xFFFFFFFF))), "non-negative");
  expect_refused(with("(" + text("module") + "ctorch\nFloatStorage\n" + text("0") + text("cpu") + number(2) + "tQ"),
                 "persistent id");
  expect_refused(with("(" + text("storage") + text("FloatStorage") + text("0") + text("cpu") + number(2) + "tQ"),
                 "unknown type");
  expect_refused(with(text("0") + "Q"), "persistent id");
  expect_refused(with("NQ"), "persistent id");
  expect_refused(with("N"), "malformed arguments");
  expect_refused(with("ctorch\nFloatStorage\n"), "malformed arguments");
  expect_refused(
      "\x80\x02"
      "ctorch\nFloatStorage\n)R.",
      "made out of nothing");
  const std::string other = tensor(persistent("LongStorage", "0", number(1)), number(0), number(1), number(1));
  expect_refused("\x80\x02}(" + text("v") + other + text("w") + tensor(kFloats, number(0), number(2), number(1)) + "u.",
                 "in two ways");
}

TEST(Pickle, RefusesDamagedPrograms) {
  for (const std::string program : {"",
                                    ".",
                                    "N",
                                    "NN.",
                                    "(N.",
                                    "(",
                                    "0",
                                    "1",
                                    "2",
                                    "t",
                                    "\x85",
                                    "N\x86",
                                    "NN\x87",
                                    "a",
                                    "]a",
                                    "}Ns",
                                    "e",
                                    "]e",
                                    "](N",
                                    "NNa",
                                    "N(Ne",
                                    "Nb",
                                    "NNb.",
                                    "R",
                                    "NR",
                                    "N)R",
                                    ")R",
                                    "Q",
                                    "q",
                                    "r\xff\xff\xff\xff",
                                    "Nr\xff\xff\xff\xff",
                                    "h",
                                    "h\x07",
                                    "j\xff\xff\xff\xff",
                                    "X",
                                    "X\xff\xff\xff\xff",
                                    "U\x05"
                                    "abc",
                                    "G1234567",
                                    "J123",
                                    "\x8a",
                                    "\x8a\x09",
                                    "\x8b\xff\xff\xff\xff",
                                    "\x8d\xff\xff\xff\xff\xff\xff\xff\xff",
                                    "c",
                                    "cos",
                                    "cos\n",
                                    "cos\nsystem",
                                    "\x80",
                                    "\x80\x06",
                                    "\x93",
                                    "NN\x93",
                                    "\x94",
                                    "\x95",
                                    "\x95"
                                    "1234567",
                                    "(N}(Nu",
                                    "}(Nu.",
                                    "N(\x85",
                                    "]N(a",
                                    "(N0"
                                    "0.",
                                    "N(0.",
                                    "I1\n.",
                                    "S'x'\n.",
                                    "P0\n.",
                                    "\x82\x01",
                                    "\x81",
                                    "\x00"}) {
    const std::string result = outcome(archive("\x80\x02" + program));
    EXPECT_TRUE(result.starts_with("refused")) << testing::PrintToString(program) << result;
  }
}

TEST(Pickle, LimitsHold) {
  expect_refused("\x80\x02" + std::string(2'000'000, 'N') + ".", "too deep");
  expect_refused("\x80\x02" + std::string(2'000'000, '(') + ".", "too many marks");
  std::string lists, nested = "N";
  for (int i = 0; i < 1'100'000; ++i) lists += "]0";
  expect_refused("\x80\x02" + lists + "N.", "too many items");
  nested += std::string(5'000'000, '\x85');
  expect_refused("\x80\x02" + nested + ".", "dictionary of tensors");
  expect_refused("\x80\x02" + nested + std::string(5'000'000, '\x85') + ".", "too many items");
  // A list inside itself, ten thousand deep.
  std::string knot = "]q\x01";
  for (int i = 0; i < 10'000; ++i)
    knot +=
        "h\x01"
        "a";
  expect_refused("\x80\x02}" + text("w") + knot + "s.", "no tensors");
}

TEST(Pickle, ArchivesThatAreNotCheckpoints) {
  const auto refused_with = [](const std::vector<TestMember>& members, const std::string& why) {
    const std::string result = outcome(TestZip::of(members).bytes());
    EXPECT_TRUE(result.starts_with("refused") && result.find(why) != std::string::npos) << why << ": " << result;
  };
  refused_with({{"word/document.xml", "x"}}, "no data.pkl");
  refused_with({{"a/data.pkl", kGood}, {"b/data.pkl", kGood}}, "more than one");
  refused_with({{"a/data.pkl", kGood}, {"a/byteorder", "big"}}, "big-endian");
  refused_with({{"a/data.pkl", kGood}, {"a/constants.pkl", ""}}, "TorchScript");
  refused_with({{"a/data.pkl", ""}}, "cut short");
  const std::string data("\0\0\x80\x3f\0\0\0\x40", 8);
  EXPECT_EQ(
      outcome(TestZip::of({{"a/data.pkl", kGood, true}, {"a/byteorder", "little"}, {"a/data/0", data, true}}).bytes()),
      "f32[2] 1 2");
}

const std::string kLegacyMagic = std::string("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15);

std::string legacy(const std::string& keys, const std::string& storages) {
  const std::string system = "\x80\x02}" + text("little_endian") + "\x88s.";
  return kLegacyMagic + "\x80\x02M\xe9\x03." + system + kGood + "\x80\x02](" + keys + "e." + storages;
}

TEST(Pickle, LegacyLayout) {
  const std::string data("\0\0\x80\x3f\0\0\0\x40", 8);
  const std::string whole = legacy(text("0"), little_endian(2, 8) + data);
  EXPECT_EQ(outcome(whole), "f32[2] 1 2");
  for (size_t n = 0; n < whole.size(); ++n) EXPECT_TRUE(outcome(whole.substr(0, n)).starts_with("refused")) << n;
  const auto refused_with = [](const std::string& file, const std::string& why) {
    const std::string result = outcome(file);
    EXPECT_TRUE(result.starts_with("refused") && result.find(why) != std::string::npos) << why << ": " << result;
  };
  refused_with(whole + "x", "after the last storage");
  refused_with(legacy("", ""), "not in the file");
  refused_with(legacy(text("0") + text("0"), little_endian(2, 8) + data + little_endian(2, 8) + data), "there twice");
  refused_with(legacy(text("1"), little_endian(2, 8) + data), "no tensor describes");
  refused_with(legacy("N", little_endian(2, 8) + data), "no tensor describes");
  for (const uint64_t n : {uint64_t{1}, uint64_t{3}, uint64_t{1} << 62, ~uint64_t{0}}) {
    refused_with(legacy(text("0"), little_endian(n, 8) + data), "not as long");
  }
  refused_with(kLegacyMagic + "\x80\x02M\xe9\x04.", "unknown protocol");
  refused_with(kLegacyMagic + "\x80\x02M\xe9\x03.\x80\x02}" + text("little_endian") + "\x89s.", "big-endian");
  refused_with("\x80\x02N.", "not one of PyTorch's");
  refused_with("", "empty");
  refused_with("GGUF", "neither of PyTorch's");
}

TEST(Pickle, EveryBitFlipIsReadOrRefused) {
  const std::string data("\0\0\x80\x3f\0\0\0\x40", 8);
  for (const std::string& whole : {archive(kGood), legacy(text("0"), little_endian(2, 8) + data)}) {
    for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
      std::string flipped = whole;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
      outcome(flipped);
    }
  }
}

}  // namespace
}  // namespace fettle
