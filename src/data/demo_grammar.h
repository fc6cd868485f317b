// A data set of intents that the program makes itself, from its own grammar: for the demonstration and for tests.
#pragma once

#include <cstdint>

#include "data/dataset.h"

namespace fettle {

struct DemoData {
  Dataset train;
  Dataset validation;
  Dataset test;
};

struct DemoOptions {
  uint64_t seed = 0;
  int64_t train_per_intent = 60;
  int64_t validation_per_intent = 15;
  int64_t test_per_intent = 40;
  double noise = 0.08;  // share of the queries with a typing error, a dropped word or a filler
};

// At least 20 intents and the out-of-scope class "oos", with intents that are easily confused and phrasings in
// validation and test that training does not have, so that a good model makes errors. The same bytes for the same
// options on any machine.
DemoData make_demo_data(const DemoOptions& options);

}  // namespace fettle
