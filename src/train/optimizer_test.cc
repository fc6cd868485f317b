#include "train/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "base/json.h"
#include "base/python_oracle.h"
#include "base/scratch_folder.h"
#include "kernels/dispatch.h"
#include "train/schedule.h"

namespace fettle {
namespace {

// The same numbers as tests/oracle/adamw.py.
std::vector<float> start(int64_t n, double phase) {
  std::vector<float> values;
  for (int64_t i = 0; i < n; ++i) values.push_back(static_cast<float>(std::sin(0.7 * static_cast<double>(i) + phase)));
  return values;
}

std::vector<float> gradient(int64_t n, int step, double phase) {
  std::vector<float> values;
  for (int64_t i = 0; i < n; ++i) {
    values.push_back(static_cast<float>(3.0 * std::cos(0.3 * static_cast<double>(i) * (step + 1) + phase)));
  }
  return values;
}

Model two_parameters() {
  Model model;
  model.parameters.set("matrix", EncodedTensor::dense(Tensor::from(start(35, 0), {7, 5})));
  model.parameters.set("vector", EncodedTensor::dense(Tensor::from(start(5, 1), {5})));
  return model;
}

TrainOptions oracle_options() {
  TrainOptions options;
  options.beta2 = 0.98;
  options.adam_eps = 1e-6;
  options.weight_decay = 0.1;
  options.max_grad_norm = 2;
  return options;
}

const std::vector<std::string> kNames = {"matrix", "vector"};

TEST(Optimizer, AgreesWithPyTorch) {
  if (!python_has("torch")) GTEST_SKIP() << "python3-torch is not installed";
  ScratchFolder folder;
  const std::string output = (folder / "adamw.json").string();
  const PythonResult oracle = run_oracle("adamw.py", "'" + output + "'");
  ASSERT_EQ(oracle.status, 0) << oracle.output;
  const Json expected = read_json(output);
  const TrainOptions options = oracle_options();
  for (const KernelTable* table : supported_tables()) {
    Model model = two_parameters();
    std::vector<ParameterSlot> slots = make_slots(model, kNames, TrainOptions{});
    ThreadPool pool(2);
    Optimizer optimizer(slots, options, *table, pool);
    for (int step = 0; step < 6; ++step) {
      const std::vector<float> matrix = gradient(35, step, 0);
      const std::vector<float> vector = gradient(5, step, 2);
      const std::vector<const float*> gradients = {matrix.data(), vector.data()};
      // Every second step the matrix's squares are known beforehand.
      double known = -1;
      if (step % 2 == 1) known = std::inner_product(matrix.begin(), matrix.end(), matrix.begin(), 0.0);
      const double norm =
          optimizer.step(gradients, std::vector<double>{known, -1}, 1, 0.05 * (1 - step / 6.0), step + 1);
      EXPECT_NEAR(norm, expected["norms"][step].get<double>(), 1e-5) << table->name;
    }
    for (const std::string& name : kNames) {
      const Tensor weights = model.parameters.get(name).decode();
      for (int64_t i = 0; i < weights.size(); ++i) {
        EXPECT_NEAR(weights.data<float>()[i], expected[name][i].get<float>(), 2e-6) << table->name << " " << name;
      }
    }
  }
}

// PyTorch's parameter groups of their own rates, and the average that torch_ema keeps, computed in double.
TEST(Optimizer, RatesOfItsOwnAndTheAverageAgreeWithPyTorch) {
  if (!python_has("torch")) GTEST_SKIP() << "python3-torch is not installed";
  ScratchFolder folder;
  const std::string output = (folder / "adamw.json").string();
  const PythonResult oracle = run_oracle("adamw.py", "'" + output + "' 0.25");
  ASSERT_EQ(oracle.status, 0) << oracle.output;
  const Json expected = read_json(output);
  TrainOptions options = oracle_options();
  options.ema_decay = 0.3;
  for (const KernelTable* table : supported_tables()) {
    Model model = two_parameters();
    std::vector<ParameterSlot> slots = make_slots(model, kNames, options);
    slots[0].rate_factor = 0.25;
    ThreadPool pool(2);
    Optimizer optimizer(slots, options, *table, pool);
    for (int step = 0; step < 6; ++step) {
      const std::vector<float> matrix = gradient(35, step, 0);
      const std::vector<float> vector = gradient(5, step, 2);
      const std::vector<const float*> gradients = {matrix.data(), vector.data()};
      optimizer.step(gradients, std::vector<double>{-1, -1}, 1, 0.05 * (1 - step / 6.0), step + 1);
    }
    for (const std::string when : {"", "average of "}) {
      for (const std::string& name : kNames) {
        const Tensor weights = model.parameters.get(name).decode();
        for (int64_t i = 0; i < weights.size(); ++i) {
          EXPECT_NEAR(weights.data<float>()[i], expected[when + name][i].get<float>(), 2e-6) << table->name << name;
        }
      }
      optimizer.swap_averages();
    }
    optimizer.swap_averages();
    EXPECT_EQ(slots[0].weight.raw(), model.parameters.get("matrix").data.raw());
  }
}

TEST(Optimizer, ChangesNothingWhenTheGradientIsNotFinite) {
  Model model = two_parameters();
  std::vector<ParameterSlot> slots = make_slots(model, kNames, TrainOptions{});
  ThreadPool pool(1);
  const TrainOptions options = oracle_options();
  Optimizer optimizer(slots, options, best_table(), pool);
  std::vector<float> matrix = gradient(35, 0, 0);
  const std::vector<float> vector = gradient(5, 0, 2);
  matrix[3] = std::nanf("");
  const std::vector<const float*> gradients = {matrix.data(), vector.data()};
  for (const double known : {-1.0, std::nan("")}) {
    EXPECT_FALSE(std::isfinite(optimizer.step(gradients, std::vector<double>{known, -1}, 1, 0.1, 1)));
  }
  EXPECT_EQ(model.parameters.get("vector").data.data<float>()[2], start(5, 1)[2]);
}

TEST(Optimizer, LeavesSharedCopiesOfTheModelAlone) {
  Model model = two_parameters();
  const Model copy = model;
  std::vector<ParameterSlot> slots = make_slots(model, kNames, TrainOptions{});
  slots[0].weight.mutable_data<float>()[0] = 42;
  EXPECT_EQ(model.parameters.get("matrix").data.data<float>()[0], 42);
  EXPECT_EQ(copy.parameters.get("matrix").data.data<float>()[0], 0);
  EXPECT_TRUE(slots[0].decay);
  EXPECT_FALSE(slots[1].decay);
}

// Hugging Face's get_linear_schedule_with_warmup and get_cosine_schedule_with_warmup at chosen steps.
TEST(ScheduleFactor, Points) {
  const auto at = [](Schedule schedule, int64_t step) { return schedule_factor(schedule, step, 100, 10); };
  for (const Schedule schedule : {Schedule::kConstant, Schedule::kLinear, Schedule::kCosine}) {
    EXPECT_DOUBLE_EQ(at(schedule, 0), 0);
    EXPECT_DOUBLE_EQ(at(schedule, 5), 0.5);
    EXPECT_DOUBLE_EQ(at(schedule, 10), 1);
  }
  EXPECT_DOUBLE_EQ(at(Schedule::kConstant, 99), 1);
  EXPECT_DOUBLE_EQ(at(Schedule::kLinear, 55), 0.5);
  EXPECT_NEAR(at(Schedule::kLinear, 99), 1.0 / 90, 1e-12);
  EXPECT_DOUBLE_EQ(at(Schedule::kCosine, 55), 0.5);
  EXPECT_NEAR(at(Schedule::kCosine, 40), 0.75, 1e-12);
  EXPECT_NEAR(at(Schedule::kCosine, 100), 0, 1e-12);
  EXPECT_DOUBLE_EQ(schedule_factor(Schedule::kLinear, 0, 10, 0), 1);
  EXPECT_EQ(warmup_steps(101, 0.1), 11);
}

}  // namespace
}  // namespace fettle
