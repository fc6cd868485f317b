#include "base/json.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <string>

#include "base/error.h"
#include "base/file.h"
#include "base/scratch_folder.h"

namespace fettle {
namespace {

std::string message_of(std::string_view text, const JsonLimits& limits = {}) {
  try {
    parse_json(text, "test", limits);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kBadInput);
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error.what();
  }
  return "";
}

std::string nested(int depth) {
  return std::string(static_cast<size_t>(depth), '[') + std::string(static_cast<size_t>(depth), ']');
}

TEST(Json, ParsesEveryKindAndKeepsTheOrderOfKeys) {
  const std::string text = R"({"z":1,"a":[true,null,-2,0.5,"\u00e9"],"m":{"y":18446744073709551615,"b":{}}})";
  EXPECT_EQ(parse_json(text, "test").dump(),
            R"({"z":1,"a":[true,null,-2,0.5,"é"],"m":{"y":18446744073709551615,"b":{}}})");
  EXPECT_EQ(parse_json(" 7 \n", "test"), Json(7));
  EXPECT_EQ(parse_json("[]", "test"), Json::array());
}

TEST(Json, AgreesWithTheLibrarysOwnParser) {
  for (const std::string text : {R"([[],{},[{"a":[1,[2,[3]]]},"x"],-0.0,1e-300,9007199254740993])",
                                 R"({"":"","a b":"\"\\\/\b\f\n\r\t\ud83d\ude00"})", "\"\"", "-0", "1E+2"}) {
    EXPECT_EQ(parse_json(text, "test"), Json::parse(text)) << text;
  }
}

TEST(Json, DepthLimit) {
  EXPECT_EQ(message_of(nested(63)), "");
  EXPECT_EQ(message_of(nested(64)), "");
  EXPECT_NE(message_of(nested(65)).find("nested deeper than 64"), std::string::npos);
  EXPECT_NE(message_of(nested(1000000)).find("at byte 65"), std::string::npos);
  EXPECT_NE(message_of(std::string(5000000, '[')), "");
  std::string objects;
  for (int i = 0; i < 1000000; ++i) objects += "{\"a\":";
  EXPECT_NE(message_of(objects), "");
  EXPECT_NE(message_of(nested(3), {.depth = 2}), "");
}

TEST(Json, DuplicateKeysAreRefusedWithTheirPlace) {
  EXPECT_EQ(message_of(R"({"a":1,"b":2,"a":3})"), "test: not valid JSON at byte 16: duplicate key \"a\"");
  EXPECT_NE(message_of(R"([{"x":{"k":1,"k":1}}])"), "");
  EXPECT_NE(message_of(R"({"a":1,"\u0061":2})"), "") << "escapes spell the same key";
  EXPECT_EQ(message_of(R"([{"a":1},{"a":2}])"), "");
}

TEST(Json, ManyKeysAreFast) {
  std::string text = "{";
  for (int i = 0; i < 200000; ++i) text += "\"token" + std::to_string(i) + "\":" + std::to_string(i) + ",";
  text.back() = '}';
  const Json value = parse_json(text, "test");
  EXPECT_EQ(value.size(), 200000u);
  EXPECT_EQ(value.dump(), text);
}

TEST(Json, BadTextIsRefused) {
  for (const std::string text : {"",
                                 " ",
                                 "{",
                                 "[1,]",
                                 "{\"a\":}",
                                 "{\"a\" 1}",
                                 "{a:1}",
                                 "'a'",
                                 "nul",
                                 "01",
                                 "+1",
                                 ".5",
                                 "1.",
                                 "0x10",
                                 "NaN",
                                 "Infinity",
                                 "-Infinity",
                                 "[1] 2",
                                 "{} x",
                                 "// c\n1",
                                 "\"\t\"",
                                 "\"\\x\"",
                                 "\"\\ud800\"",
                                 "\"\\udc00x\"",
                                 "\"abc",
                                 "\xff",
                                 "\"\xff\"",
                                 "\"\xc0\xaf\"",
                                 "\"\xed\xa0\x80\"",
                                 "\"\xf5\x80\x80\x80\"",
                                 "\"\xe2\x82\""}) {
    EXPECT_NE(message_of(text).find("not valid JSON at byte "), std::string::npos) << text;
  }
}

TEST(Json, NulDoesNotHideTheRest) {
  EXPECT_NE(message_of(std::string("{}\0garbage", 10)), "");
  EXPECT_NE(message_of(std::string("{}\0", 3)), "");
  EXPECT_NE(message_of(std::string("\"a\0b\"", 5)), "");
}

TEST(Json, NumbersOutOfRangeAreRefused) {
  EXPECT_NE(message_of("1e999"), "");
  EXPECT_NE(message_of("[-1e400]"), "");
  EXPECT_EQ(message_of("1e-999"), "");
  // Hugging Face writes this as "no limit".
  EXPECT_DOUBLE_EQ(parse_json("1000000000000000019884624838656", "test").get<double>(), 1e30);
}

TEST(Json, SizeAndCountLimits) {
  EXPECT_NE(message_of("[1,2,3]", {.size_bytes = 6}).find("longer than the limit of 6 bytes"), std::string::npos);
  EXPECT_EQ(message_of("[1,2,3]", {.size_bytes = 7}), "");
  EXPECT_NE(message_of("[1,2,3]", {.n_values = 3}).find("more than 3 values"), std::string::npos);
  EXPECT_EQ(message_of("[1,2,3]", {.n_values = 4}), "");
}

TEST(Json, EveryPrefixIsRefusedOrComplete) {
  const std::string text = R"({"model_type":"bert","hidden_size":768,"x":[1.5e3,true,null,"\u20ac"]})";
  for (size_t n = 0; n < text.size(); ++n) EXPECT_NE(message_of(text.substr(0, n)), "") << n;
  EXPECT_EQ(message_of(text), "");
}

TEST(Json, MessagesAreOnePrintableLine) {
  for (const char c : message_of("[\"a\n\x01\xff\x1b[31m\"]")) EXPECT_TRUE(c >= 0x20 && c < 0x7f);
  EXPECT_LT(message_of("\"" + std::string(1000000, 'x')).size(), 400u);
}

TEST(JsonAccess, Integers) {
  const Json object = parse_json(R"({"n":12,"neg":-1,"f":1.5,"g":12.0,"e":1e3,"s":"12","big":18446744073709551615,
                                     "huge":1e30,"null":null,"min":-9223372036854775808,"t":true})",
                                 "test");
  EXPECT_EQ(json_int(object, "n", 0, 100, "test"), 12);
  EXPECT_EQ(json_int(object, "min", INT64_MIN, INT64_MAX, "test"), INT64_MIN);
  for (const char* key : {"neg", "f", "g", "e", "s", "big", "huge", "null", "absent", "t"}) {
    EXPECT_THROW(json_int(object, key, 0, INT64_MAX, "test"), Error) << key;
  }
  EXPECT_THROW(json_int(object, "n", 13, 100, "test"), Error);
  EXPECT_THROW(json_int(object, "n", 0, 11, "test"), Error);
  EXPECT_EQ(json_int_or(object, "absent", 5, 0, 3, "test"), 5);
  EXPECT_EQ(json_int_or(object, "null", 5, 0, 3, "test"), 5);
  EXPECT_THROW(json_int_or(object, "n", 5, 0, 3, "test"), Error);
}

TEST(JsonAccess, MessagesNameTheKeyAndTheValue) {
  const Json object = parse_json(R"({"hidden_size":-4,"x":[1]})", "test");
  const auto message = [&](std::string_view key) {
    try {
      json_int(object, key, 1, 1048576, "config.json");
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(message("hidden_size"), "config.json: \"hidden_size\" is -4, not between 1 and 1048576");
  EXPECT_EQ(message("x"), "config.json: \"x\" is an array, not an integer");
  EXPECT_EQ(message("vocab_size"), "config.json: \"vocab_size\" is missing");
}

TEST(JsonAccess, OtherTypes) {
  const Json object = parse_json(R"({"d":0.5,"i":3,"s":"gelu","b":true,"null":null})", "test");
  EXPECT_EQ(json_number(object, "d", "test"), 0.5);
  EXPECT_EQ(json_number(object, "i", "test"), 3.0);
  EXPECT_THROW(json_number(object, "s", "test"), Error);
  EXPECT_EQ(json_number_or(object, "null", 2.5, "test"), 2.5);
  EXPECT_EQ(json_string(object, "s", "test"), "gelu");
  EXPECT_THROW(json_string(object, "i", "test"), Error);
  EXPECT_EQ(json_string_or(object, "absent", "relu", "test"), "relu");
  EXPECT_TRUE(json_bool_or(object, "b", false, "test"));
  EXPECT_TRUE(json_bool_or(object, "absent", true, "test"));
  EXPECT_THROW(json_bool_or(object, "i", false, "test"), Error);
  EXPECT_THROW(json_int(Json::array(), "i", 0, 9, "test"), Error);
}

TEST(JsonFile, RoundTrip) {
  const ScratchFolder folder;
  const Json value = parse_json(R"({"b":[1,2.5,"é"],"a":{}})", "test");
  write_json(folder / "x.json", value);
  EXPECT_EQ(read_json(folder / "x.json"), value);
  const std::string text = read_file(folder / "x.json");
  EXPECT_EQ(text.back(), '\n');
  EXPECT_NE(text.find("\n  \"a\""), std::string::npos);
  EXPECT_THROW(read_json(folder / "x.json", {.size_bytes = 5}), Error);
  EXPECT_THROW(read_json(folder / "absent.json"), Error);
  EXPECT_THROW(write_json(folder / "y.json", Json("\xff")), Error);
  EXPECT_FALSE(std::filesystem::exists(folder / "y.json"));
}

}  // namespace
}  // namespace fettle
