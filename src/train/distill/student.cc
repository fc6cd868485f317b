// Students cut out of their teacher: layers copied, heads and neurons chosen by weight, hidden states projected.
#include <Eigen/Core>
#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <optional>

#include "model/config_keys.h"
#include "model/layer_names.h"
#include "train/distill/student_rule.h"
#include "train/trainer.h"

namespace fettle {
namespace {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Indices = std::vector<int64_t>;

// The leading principal directions of the word embeddings, not centred: linear maps have no offset to give.
struct Projection {
  Matrix directions;      // [hidden, student hidden], orthonormal columns
  float kept_energy = 1;  // share of the embeddings' squared length within them
};

Projection principal_directions(const Matrix& embeddings, int64_t width) {
  const Eigen::Index hidden = embeddings.cols();
  Matrix moment = Matrix::Zero(hidden, hidden);
  moment.selfadjointView<Eigen::Lower>().rankUpdate(embeddings.transpose());
  // Eigenvalues rise.
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(
      Matrix(moment.selfadjointView<Eigen::Lower>()).cast<double>());
  Projection projection;
  projection.directions = solver.eigenvectors().rightCols(width).rowwise().reverse().cast<float>();
  const double all = solver.eigenvalues().sum();
  const double kept = solver.eigenvalues().tail(width).sum();
  projection.kept_energy = all > 0 ? static_cast<float>(kept / all) : 1.0f;
  return projection;
}

// The `count` largest, in rising order of index.
Indices largest(const Eigen::VectorXf& scores, int64_t count) {
  Indices order(static_cast<size_t>(scores.size()));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return scores[a] > scores[b]; });
  order.resize(static_cast<size_t>(count));
  std::sort(order.begin(), order.end());
  return order;
}

Indices rows_of_heads(const Indices& heads, int64_t head_dim) {
  Indices rows;
  for (int64_t head : heads) {
    for (int64_t i = 0; i < head_dim; ++i) rows.push_back(head * head_dim + i);
  }
  return rows;
}

class StudentBuilder {
 public:
  StudentBuilder(const Model& teacher, const StudentRule& rule)
      : teacher_(teacher), rule_(rule), keys_(architecture_keys(teacher.config.architecture)) {
    student_.config = teacher.config;
    student_.config.hidden_size = rule.hidden;
    student_.config.layers.clear();
    student_.config.layer_sources.clear();
    student_.tokenizer = teacher.tokenizer;
    if (rule.hidden < teacher.config.hidden_size) {
      projection_ = principal_directions(matrix(embeddings("word_embeddings.weight")), rule.hidden);
    }
  }

  Model build() {
    copy_embedding("word_embeddings.weight");
    copy_embedding("position_embeddings.weight");
    if (keys_.has_token_types) copy_embedding("token_type_embeddings.weight");
    copy_norm(embeddings("LayerNorm"), embeddings("LayerNorm"));
    for (size_t i = 0; i < rule_.layers.size(); ++i) add_layer(static_cast<int64_t>(i));
    const std::string hidden_head(keys_.hidden_head);
    const std::string labels(keys_.label_layer);
    if (teacher_.parameters.has(hidden_head + ".weight")) {
      set(hidden_head + ".weight", write_side(read_side(matrix(hidden_head + ".weight"))));
      set_vector(hidden_head + ".bias", write_side_vector(hidden_head + ".bias"));
    }
    if (teacher_.parameters.has(labels + ".weight")) {
      set(labels + ".weight", read_side(matrix(labels + ".weight")));
      set_vector(labels + ".bias", vector(labels + ".bias"));
    }
    copy_masked_word_head();
    return std::move(student_);
  }

 private:
  std::string embeddings(const std::string& name) const {
    return std::string(keys_.parameter_prefix) + "embeddings." + name;
  }
  Matrix matrix(const std::string& name) const {
    const Tensor values = teacher_.parameters.get(name).decode();
    return Eigen::Map<const Matrix>(values.data<float>(), values.dim(0), values.dim(1));
  }
  Eigen::VectorXf vector(const std::string& name) const {
    const Tensor values = teacher_.parameters.get(name).decode();
    return Eigen::Map<const Eigen::VectorXf>(values.data<float>(), values.size());
  }
  void set(const std::string& name, const Matrix& values) {
    Tensor tensor(DType::kF32, {values.rows(), values.cols()});
    std::memcpy(tensor.raw_mutable(), values.data(), static_cast<size_t>(tensor.size_bytes()));
    student_.parameters.set(name, EncodedTensor::dense(std::move(tensor)));
  }
  void set_vector(const std::string& name, const Eigen::VectorXf& values) {
    Tensor tensor(DType::kF32, {values.size()});
    std::memcpy(tensor.raw_mutable(), values.data(), static_cast<size_t>(tensor.size_bytes()));
    student_.parameters.set(name, EncodedTensor::dense(std::move(tensor)));
  }

  // Of a weight [out, in] that reads hidden states, and of one that writes them.
  Matrix read_side(const Matrix& weight) const { return projection_ ? weight * projection_->directions : weight; }
  Matrix write_side(const Matrix& weight) const {
    return projection_ ? projection_->directions.transpose() * weight : weight;
  }
  Eigen::VectorXf write_side_vector(const std::string& name) const {
    const Eigen::VectorXf values = vector(name);
    return projection_ ? Eigen::VectorXf(projection_->directions.transpose() * values) : values;
  }

  void copy_embedding(const std::string& name) { set(embeddings(name), read_side(matrix(embeddings(name)))); }

  // A narrowed norm makes its output longer than the projection of the full one: of H coordinates of unit variance the
  // directions keep kept_energy · H, spread over fewer. Gamma takes that back, and mixes as the directions do.
  void copy_norm(const std::string& from, const std::string& to) {
    Eigen::VectorXf gamma = vector(from + ".weight");
    if (projection_) {
      const Matrix& p = projection_->directions;
      const float scale =
          std::sqrt(projection_->kept_energy * static_cast<float>(p.rows()) / static_cast<float>(p.cols()));
      gamma = scale * (p.cwiseAbs2().transpose() * gamma);
    }
    set_vector(to + ".weight", gamma);
    set_vector(to + ".bias", write_side_vector(from + ".bias"));
  }

  // Of a pre-trained encoder: a dense layer of the hidden states, its norm, and a bias for each word.
  void copy_masked_word_head() {
    const auto shapes = parameter_shapes(teacher_.config, {.head = GraphOptions::Head::kMaskedLm});
    for (const auto& [name, shape] : shapes) {
      if (!teacher_.parameters.has(name)) return;
    }
    for (const auto& [name, shape] : shapes) {
      if (student_.parameters.has(name) || name.starts_with(keys_.parameter_prefix)) continue;
      const std::string base = name.substr(0, name.rfind('.'));
      const bool is_weight = name.ends_with(".weight");
      if (shape.size() == 2) {
        set(name, write_side(read_side(matrix(name))));
        set_vector(base + ".bias", write_side_vector(base + ".bias"));
      } else if (is_weight) {
        copy_norm(base, base);
      } else if (!teacher_.parameters.has(base + ".weight")) {
        set_vector(name, vector(name));
      }
    }
  }

  // Heads whose values reach the output most: the norm of value rows times that of output columns.
  Indices choose_heads(const EncoderLayerNames& names, const LayerConfig& width, int64_t count) const {
    const Matrix value = matrix(names.value + ".weight");
    const Matrix output = matrix(names.attention_output + ".weight");
    Eigen::VectorXf scores(width.n_heads);
    for (int64_t h = 0; h < width.n_heads; ++h) {
      scores[h] = value.middleRows(h * width.head_dim, width.head_dim).norm() *
                  output.middleCols(h * width.head_dim, width.head_dim).norm();
    }
    return largest(scores, count);
  }
  Indices choose_neurons(const EncoderLayerNames& names, int64_t count) const {
    const Eigen::VectorXf in = matrix(names.intermediate + ".weight").rowwise().norm();
    const Eigen::VectorXf out = matrix(names.output + ".weight").colwise().norm().transpose();
    return largest(in.cwiseProduct(out), count);
  }

  void reader(const std::string& from, const std::string& to, const Indices& rows) {
    set(to + ".weight", read_side(matrix(from + ".weight")(rows, Eigen::all)));
    set_vector(to + ".bias", vector(from + ".bias")(rows));
  }
  void writer(const std::string& from, const std::string& to, const Indices& columns) {
    set(to + ".weight", write_side(matrix(from + ".weight")(Eigen::all, columns)));
    set_vector(to + ".bias", write_side_vector(from + ".bias"));
  }

  void add_layer(int64_t index) {
    const int64_t source = rule_.layers[index];
    const EncoderLayerNames from = encoder_layer_names(teacher_.config, source);
    const EncoderLayerNames to = encoder_layer_names(student_.config, index);
    const LayerConfig& width = teacher_.config.layers[source];
    const Indices heads = rows_of_heads(choose_heads(from, width, rule_.heads[index]), width.head_dim);
    const Indices neurons = choose_neurons(from, rule_.intermediate[index]);
    reader(from.query, to.query, heads);
    reader(from.key, to.key, heads);
    reader(from.value, to.value, heads);
    writer(from.attention_output, to.attention_output, heads);
    copy_norm(from.attention_norm, to.attention_norm);
    reader(from.intermediate, to.intermediate, neurons);
    writer(from.output, to.output, neurons);
    copy_norm(from.output_norm, to.output_norm);
    student_.config.layers.push_back(
        {.n_heads = rule_.heads[index], .head_dim = width.head_dim, .intermediate_size = rule_.intermediate[index]});
  }

  const Model& teacher_;
  const StudentRule& rule_;
  const ArchitectureKeys& keys_;
  std::optional<Projection> projection_;
  Model student_;
};

}  // namespace

Model make_student(const Model& teacher, std::string_view rule, uint64_t) {
  const StudentRule parsed = parse_student_rule(rule, teacher.config);
  return StudentBuilder(teacher, parsed).build();
}

}  // namespace fettle
