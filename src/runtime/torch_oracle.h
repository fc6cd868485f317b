// For tests: model folders written by fettle, run by PyTorch's own ops (tests/oracle/bert_forward.py).
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/python_oracle.h"
#include "runtime/session.h"

namespace fettle::test {

inline Json rows_of(const std::vector<int32_t>& ids, const std::vector<int32_t>& offsets) {
  Json rows = Json::array();
  for (size_t s = 0; s + 1 < offsets.size(); ++s) {
    rows.push_back(std::vector<int32_t>(ids.begin() + offsets[s], ids.begin() + offsets[s + 1]));
  }
  return rows;
}

// Logits of the folder's model on both paths against the rows that PyTorch left there.
inline void expect_logits(const std::string& folder, const RaggedBatch& batch) {
  SCOPED_TRACE(folder);
  const auto model = std::make_shared<const Model>(load_model(folder));
  const int64_t n_labels = model->config.n_labels();
  const Json rows = read_json(folder + "/logits.json");
  for (const bool fast_path : {false, true}) {
    Session session(model, {.n_threads = 1, .fast_path = fast_path});
    const Tensor logits = session.classify(batch);
    ASSERT_EQ(static_cast<size_t>(logits.dim(0)), rows.size());
    double largest = 0;
    for (int64_t i = 0; i < logits.size(); ++i) {
      const Json& row = rows[static_cast<size_t>(i / n_labels)];
      const double expected = row[static_cast<size_t>(i % n_labels)].get<double>();
      EXPECT_NEAR(logits.floats()[static_cast<size_t>(i)], expected, 1e-4);
      largest = std::max(largest, std::fabs(expected));
    }
    EXPECT_GT(largest, 0.5) << "logits too small to tell";
  }
}

// PyTorch pads the batch and masks; fettle packs it.
inline void expect_logits_of_torch(const std::vector<std::string>& folders, const RaggedBatch& batch) {
  std::string arguments;
  for (const std::string& folder : folders) {
    write_json(folder + "/batch.json", {{"token_ids", rows_of(batch.token_ids, batch.offsets)},
                                        {"type_ids", rows_of(batch.type_ids, batch.offsets)}});
    arguments += " '" + folder + "'";
  }
  const PythonResult result = run_oracle("bert_forward.py", arguments);
  ASSERT_EQ(result.status, 0) << result.output;
  for (const std::string& folder : folders) expect_logits(folder, batch);
}

}  // namespace fettle::test
