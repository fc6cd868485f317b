#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <algorithm>

#include "model/config_keys.h"
#include "model/initialize.h"
#include "train/distill/distillation_loss.h"

namespace fettle {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using FloatMatrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr double kRidge = 1e-3;
constexpr double kDeviation = 0.02;  // TinyBERT's

Tensor word_embeddings(const Model& model) {
  const std::string prefix(architecture_keys(model.config.architecture).parameter_prefix);
  return model.parameters.get(prefix + "embeddings.word_embeddings.weight").decode();
}

// aᵀ b
Matrix moment(const Tensor& a, const Tensor& b, Machine& machine) {
  FloatMatrix result(a.dim(1), b.dim(1));
  machine.table.matmul_f32({.m = a.dim(1),
                            .n = b.dim(1),
                            .k = std::min(a.dim(0), b.dim(0)),
                            .a = a.data<float>(),
                            .lda = a.dim(1),
                            .transpose_a = true,
                            .b = b.data<float>(),
                            .ldb = b.dim(1),
                            .c = result.data(),
                            .ldc = b.dim(1)},
                           machine.pool);
  return result.cast<double>();
}

// W [teacher's width, student's] of the least |e_t - e_s Wᵀ|² with a little of its own length.
Tensor best_map(const Tensor& student, const Tensor& teacher, Machine& machine) {
  Matrix own = moment(student, student, machine);
  const double ridge = kRidge * own.trace() / static_cast<double>(own.rows());
  own.diagonal().array() += ridge > 0 ? ridge : 1.0;
  const Matrix map = own.ldlt().solve(moment(student, teacher, machine));
  Tensor result(DType::kF32, {teacher.dim(1), student.dim(1)});
  Eigen::Map<FloatMatrix>(result.mutable_data<float>(), result.dim(0), result.dim(1)) = map.transpose().cast<float>();
  return result;
}

}  // namespace

Projections::Projections(Model& student, const Model& teacher, const FeaturePlan& plan, const TrainOptions& options,
                         Machine& machine)
    : student_(student) {
  const ModelConfig& s = student.config;
  const ModelConfig& t = teacher.config;
  if (!plan.hidden.empty() && s.hidden_size != t.hidden_size) {
    add(kHiddenProjection, {t.hidden_size, s.hidden_size}, teacher, options, machine);
  }
  if (plan.embeddings && s.table_width() != t.table_width()) {
    add(kEmbeddingsProjection, {t.table_width(), s.table_width()}, teacher, options, machine);
  }
}

void Projections::add(const char* name, const Shape& shape, const Model& teacher, const TrainOptions& options,
                      Machine& machine) {
  const Tensor from = word_embeddings(student_);
  const Tensor to = word_embeddings(teacher);
  const bool is_mapped = from.dim(1) == shape[1] && to.dim(1) == shape[0];
  student_.parameters.set(name, is_mapped ? EncodedTensor::dense(best_map(from, to, machine))
                                          : initial_parameter(name, shape, kDeviation, options.seed));
  names_.emplace_back(name);
}

Projections::~Projections() {
  for (const std::string& name : names_) student_.parameters.erase(name);
}

}  // namespace fettle
