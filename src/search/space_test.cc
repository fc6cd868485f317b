#include "search/space.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"

namespace fettle {
namespace {

const std::vector<Tunable> kTunables = {
    {.name = "epochs", .low = 0.001, .high = 1000},
    {.name = "rate", .low = 0, .high = 10},
    {.name = "batch", .whole = true, .low = 1, .high = 1024},
    {.name = "student", .is_number = false},
    {.name = "schedule", .is_number = false, .words = {"linear", "cosine"}},
};

Space parse(const std::string& text) {
  return parse_space(parse_json(text, "space.json"), kTunables, "space.json");
}

void expect_refused(const std::string& text, const std::string& part) {
  try {
    parse(text);
    ADD_FAILURE() << "taken: " << text;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kBadInput) << error.what();
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
  }
}

constexpr const char* kWhole = R"({"epochs": {"type": "int", "low": 5, "high": 10},
  "rate": {"type": "float", "low": 1e-5, "high": 1e-3, "log": true},
  "batch": {"type": "categorical", "choices": [16, 32]},
  "student": {"type": "categorical", "choices": ["layers=0,2", "layers=0"]}})";

TEST(Space, IsReadAndWrittenAgain) {
  const Space space = parse(kWhole);
  ASSERT_EQ(space.size(), 4u);
  EXPECT_EQ(space.parameters[0].kind, ParameterKind::kInt);
  EXPECT_FALSE(space.parameters[0].logarithmic);
  EXPECT_EQ(space.parameters[1].kind, ParameterKind::kFloat);
  EXPECT_TRUE(space.parameters[1].logarithmic);
  EXPECT_EQ(space.parameters[2].n_choices(), 2);
  const Json written = space_to_json(space);
  EXPECT_EQ(space_to_json(parse_space(written, kTunables, "again")), written);
}

TEST(Space, ValuesGoThroughJsonUnchanged) {
  const Space space = parse(kWhole);
  const ParameterValues values = {7, 1.2345678901234567e-4, 1, 0};
  const Json json = values_to_json(space, values);
  EXPECT_EQ(json["epochs"], 7);
  EXPECT_EQ(json["batch"], 32);
  EXPECT_EQ(json["student"], "layers=0,2");
  EXPECT_EQ(values_from_json(space, parse_json(json.dump(), "x"), "x"), values);
  EXPECT_EQ(describe(space, values), "epochs 7, rate 0.000123, batch 32, student layers=0,2");
}

TEST(Space, ValuesThatDoNotFitAreRefused) {
  const Space space = parse(kWhole);
  const Json good = values_to_json(space, {7, 1e-4, 1, 0});
  for (const auto& [name, value] : std::vector<std::pair<std::string, Json>>{
           {"epochs", 11}, {"epochs", 7.5}, {"rate", 1}, {"rate", "x"}, {"batch", 64}, {"student", 0}}) {
    Json bad = good;
    bad[name] = value;
    EXPECT_THROW(values_from_json(space, bad, "x"), Error) << bad.dump();
  }
  Json missing = good;
  missing.erase("rate");
  EXPECT_THROW(values_from_json(space, missing, "x"), Error);
  EXPECT_THROW(values_from_json(space, Json::array(), "x"), Error);
}

TEST(Space, MistakesAreNamed) {
  expect_refused(R"({"epoch": {"type": "int", "low": 1, "high": 2}})", "'epoch' cannot be searched");
  expect_refused(R"({"epoch": {"type": "int", "low": 1, "high": 2}})", "epochs, rate, batch, student");
  expect_refused(R"({"epochs": {"type": "int", "low": 7, "high": 5}})", "low 7 is above high 5");
  expect_refused(R"({"epochs": {"type": "int", "low": 7, "high": 7}})", "empty");
  expect_refused(R"({"rate": {"type": "float", "low": 0, "high": 1, "log": true}})", "above 0");
  expect_refused(R"({"rate": {"type": "float", "low": -1, "high": 1}})", "0 to 10");
  expect_refused(R"({"rate": {"type": "float", "low": 0, "high": 11}})", "0 to 10");
  expect_refused(R"({"rate": {"type": "float", "low": 0}})", "high");
  expect_refused(R"({"rate": {"type": "double", "low": 0, "high": 1}})", "'double' is no type");
  expect_refused(R"({"rate": {"type": "float", "low": 0, "high": 1, "step": 1}})", "'step'");
  expect_refused(R"({"rate": 1})", "is not an object");
  expect_refused(R"({"epochs": {"type": "int", "low": 1.5, "high": 5}})", "whole");
  expect_refused(R"({"batch": {"type": "float", "low": 1, "high": 5}})", "whole");
  expect_refused(R"({"batch": {"type": "categorical", "choices": [1.5]}})", "whole");
  expect_refused(R"({"batch": {"type": "categorical", "choices": [0]}})", "1 to 1024");
  expect_refused(R"({"batch": {"type": "categorical", "choices": ["x"]}})", "numbers");
  expect_refused(R"({"batch": {"type": "categorical", "choices": [8, 16, 8.0]}})", "twice");
  expect_refused(R"({"batch": {"type": "categorical", "choices": []}})", "at least one");
  expect_refused(R"({"batch": {"type": "categorical"}})", "at least one");
  expect_refused(R"({"student": {"type": "categorical", "choices": [1]}})", "strings");
  expect_refused(R"({"student": {"type": "int", "low": 1, "high": 2}})", "categorical");
  expect_refused(R"({"schedule": {"type": "categorical", "choices": ["linear", "step"]}})", "linear, cosine");
  expect_refused(R"({})", "no parameter");
  expect_refused(R"([])", "object");
  EXPECT_THROW(
      parse(R"({"rate": {"type": "float", "low": 0, "high": 1}, "rate": {"type": "float", "low": 0, "high": 1}})"),
      Error);
}

TEST(Space, SearchPlacesKeepToTheRange) {
  const Space space = parse(kWhole);
  const Parameter& epochs = space.parameters[0];
  EXPECT_EQ(search_low(epochs), 4.5);
  EXPECT_EQ(search_high(epochs), 10.5);
  EXPECT_EQ(from_search(epochs, 4.5), 5);
  EXPECT_EQ(from_search(epochs, 10.5), 10);
  EXPECT_EQ(from_search(epochs, 7.4), 7);
  const Parameter& rate = space.parameters[1];
  EXPECT_DOUBLE_EQ(search_low(rate), std::log(1e-5));
  EXPECT_EQ(from_search(rate, search_high(rate)), 1e-3);
  EXPECT_NEAR(from_search(rate, to_search(rate, 3e-4)), 3e-4, 1e-12);
}

}  // namespace
}  // namespace fettle
