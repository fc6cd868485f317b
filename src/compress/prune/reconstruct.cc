#include "compress/prune/reconstruct.h"

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/cancel.h"
#include "base/error.h"
#include "base/progress.h"
#include "compress/prune/gates.h"
#include "model/layer_names.h"
#include "train/classify.h"

namespace fettle {
namespace {

using RowMatrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Values = Eigen::Map<const RowMatrix>;

Values view(const Tensor& tensor) {
  return {tensor.data<float>(), tensor.dim(0), tensor.dim(1)};
}

// Nodes around one product that writes to the residual stream.
struct Place {
  int64_t layer = 0;
  std::string product;   // "bert.encoder.layer.0.output.dense"
  std::string residual;  // the node that adds it to the stream
};

std::vector<Place> places_of(const ModelConfig& config, int64_t layer) {
  const EncoderLayerNames names = encoder_layer_names(config, layer);
  return {{layer, names.attention_output, names.prefix + "attention.residual"},
          {layer, names.output, names.prefix + "output.residual"}};
}

const Node& node_named(const Graph& graph, const std::string& name) {
  const auto found = std::ranges::find(graph.nodes(), name, &Node::name);
  if (found == graph.nodes().end()) failed("graph", "has no node '" + name + "'");
  return *found;
}

// The layers up to the one with that place, as far as it is cheap to say: all of that layer.
ModelConfig layers_up_to(ModelConfig config, int64_t layer) {
  config.layers.resize(static_cast<size_t>(layer) + 1);
  return config;
}

// The part of the model up to one sum of the residual stream.
class Prefix {
 public:
  // Outputs: "sum", and "x", what the product reads.
  Prefix(const Model& model, const Place& place, Machine& machine)
      : config_(model.config),
        graph_(build_graph(layers_up_to(model.config, place.layer), {.head = GraphOptions::Head::kHidden})) {
    graph_.add_output("sum", node_named(graph_, place.residual).outputs[0]);
    graph_.add_output("x", node_named(graph_, place.product).inputs[0]);
    executor_ = std::make_unique<Executor>(
        graph_, [&model](std::string_view name) -> const EncodedTensor& { return model.parameters.get(name); },
        ExecutorOptions{
            .pool = &machine.pool, .table = &machine.table, .precision = Precision::kF32, .pack_parameters = true});
  }

  void run(const RaggedBatch& tokens) {
    bind_tokens(tokens, config_, batch_);
    for (const auto& [name, value] : batch_.inputs) {
      if (graph_.find(name) != kNoValue) executor_->set_input(name, value);
    }
    executor_->run();
  }
  Tensor output(const std::string& name) const { return executor_->output(name); }

 private:
  const ModelConfig& config_;
  Graph graph_;
  std::unique_ptr<Executor> executor_;
  MicroBatch batch_;
};

// Sums over tokens of x xᵀ and x rᵀ, x with a one behind it for the bias; r what is missing in the sum.
struct Moments {
  Eigen::MatrixXd xx;  // [in + 1, in + 1]
  Eigen::MatrixXd xr;  // [in + 1, out]
  double missing = 0;  // Σ r²
  double whole = 0;    // Σ of the whole model's sums squared
};

class Reconstruction {
 public:
  Reconstruction(Model& cut_model, const Model& whole, const Dataset& texts, const ReconstructOptions& options)
      : cut_(cut_model), whole_(whole), options_(options), machine_(train_options(options)) {
    Dataset some = texts;
    some.examples.clear();
    const auto n = static_cast<int64_t>(texts.examples.size());
    const int64_t most = options.max_examples > 0 ? std::min(n, options.max_examples) : n;
    for (int64_t i = 0; i < most; ++i) some.examples.push_back(texts.examples[static_cast<size_t>(i * n / most)]);
    if (!whole.tokenizer) usage_error("model", "has no tokenizer");
    if (n == 0) bad_input(texts.source.empty() ? "data" : texts.source, "holds no examples");
    texts_ = tokenize(some, *whole.tokenizer, std::min(options.max_length, whole.config.max_positions));
    plan_ = evaluation_batches(texts_.lengths(), options.batch_size);
  }

  ReconstructedLayer fit(const Place& in_cut, const Place& in_whole) {
    if (cut_.parameters.get(in_cut.product + ".weight").encoding.kind == EncodingKind::kSparse) {
      usage_error("reconstruction", "would fill the zeros of '" + in_cut.product + "'",
                  "reconstruct before single weights go");
    }
    const Moments moments = measure(in_cut, in_whole);
    const std::string weight_name = in_cut.product + ".weight";
    const std::string bias_name = in_cut.product + ".bias";
    const Tensor weight = cut_.parameters.get(weight_name).decode();
    const Tensor bias = cut_.parameters.get(bias_name).decode();
    const Eigen::Index in = weight.dim(1);

    Eigen::MatrixXd damped = moments.xx;
    const double ridge = options_.damping * moments.xx.diagonal().head(in).mean();
    damped.diagonal().head(in).array() += ridge;
    damped.diagonal()(in) += 1e-9 * moments.xx(in, in);
    const Eigen::LLT<Eigen::MatrixXd> solver(damped);
    if (solver.info() != Eigen::Success) {
      failed(in_cut.product, "the least squares equations cannot be solved", "more data, or a larger damping");
    }
    const Eigen::MatrixXd change = solver.solve(moments.xr);  // [in + 1, out]

    Tensor new_weight(DType::kF32, weight.shape());
    Tensor new_bias(DType::kF32, bias.shape());
    for (int64_t o = 0; o < weight.dim(0); ++o) {
      for (Eigen::Index i = 0; i < in; ++i) {
        const int64_t at = o * in + i;
        new_weight.mutable_data<float>()[at] = weight.data<float>()[at] + static_cast<float>(change(i, o));
      }
      new_bias.mutable_data<float>()[o] = bias.data<float>()[o] + static_cast<float>(change(in, o));
    }
    cut_.parameters.set(weight_name, encode(new_weight, cut_.parameters.get(weight_name).encoding));
    cut_.parameters.set(bias_name, encode(new_bias, cut_.parameters.get(bias_name).encoding));
    // Σ |r - change · x|², from the moments alone.
    const double after =
        moments.missing - 2 * change.cwiseProduct(moments.xr).sum() + change.cwiseProduct(moments.xx * change).sum();
    return {in_cut.product, moments.missing / moments.whole, std::max(0.0, after) / moments.whole};
  }

 private:
  static TrainOptions train_options(const ReconstructOptions& options) {
    TrainOptions o;
    o.n_threads = options.n_threads;
    o.isa = options.isa;
    return o;
  }

  Moments measure(const Place& in_cut, const Place& in_whole) {
    Prefix cut_prefix(cut_, in_cut, machine_);
    Prefix whole_prefix(whole_, in_whole, machine_);
    Moments moments;
    RaggedBatch tokens;
    for (int64_t b = 0; b < plan_.n_batches(); ++b) {
      throw_if_cancelled();
      tokens.clear();
      for (const int32_t i : plan_.batch(b)) texts_.append_to(tokens, i);
      cut_prefix.run(tokens);
      whole_prefix.run(tokens);
      add(view(cut_prefix.output("x")), view(cut_prefix.output("sum")), view(whole_prefix.output("sum")), moments);
    }
    moments.xx.triangularView<Eigen::StrictlyUpper>() = moments.xx.transpose();
    return moments;
  }

  static void add(const Values& x, const Values& sum, const Values& wanted, Moments& moments) {
    Eigen::MatrixXf with_one(x.rows(), x.cols() + 1);
    with_one.leftCols(x.cols()) = x;
    with_one.col(x.cols()).setOnes();
    const Eigen::MatrixXf missing = wanted - sum;
    if (moments.xx.size() == 0) {
      moments.xx.setZero(with_one.cols(), with_one.cols());
      moments.xr.setZero(with_one.cols(), missing.cols());
    }
    // A batch in f32, the sum over batches in double.
    Eigen::MatrixXf xx = Eigen::MatrixXf::Zero(with_one.cols(), with_one.cols());
    xx.selfadjointView<Eigen::Lower>().rankUpdate(with_one.transpose());
    moments.xx.triangularView<Eigen::Lower>() += xx.cast<double>();
    const Eigen::MatrixXf xr = with_one.transpose() * missing;
    moments.xr += xr.cast<double>();
    moments.missing += missing.cast<double>().squaredNorm();
    moments.whole += wanted.cast<double>().squaredNorm();
  }

  Model& cut_;
  const Model& whole_;
  const ReconstructOptions& options_;
  Machine machine_;
  TokenizedTexts texts_;
  BatchPlan plan_;
};

}  // namespace

std::vector<ReconstructedLayer> reconstruct(Model& cut_model, const Model& whole, const KeptParts& kept,
                                            const Dataset& texts, const ReconstructOptions& options) {
  if (static_cast<int64_t>(kept.hidden.size()) != whole.config.hidden_size) {
    usage_error("reconstruction", "needs all hidden dimensions");
  }
  const auto n_layers = static_cast<int64_t>(whole.config.layers.size());
  for (int64_t layer = 0; layer < n_layers; ++layer) {
    if (unit_of_layer(whole.config, layer) == layer && whole.config.blocks_per_group == 1) continue;
    usage_error("reconstruction", "is not there for layers that share their parameters");
  }
  Reconstruction reconstruction(cut_model, whole, texts, options);
  std::vector<ReconstructedLayer> report;
  Progress progress("reconstruction", static_cast<int64_t>(2 * kept.layers.size()), "products");
  for (size_t i = 0; i < kept.layers.size(); ++i) {
    const std::vector<Place> in_cut = places_of(cut_model.config, static_cast<int64_t>(i));
    const std::vector<Place> in_whole = places_of(whole.config, kept.layers[i]);
    for (size_t p = 0; p < in_cut.size(); ++p) {
      report.push_back(reconstruction.fit(in_cut[p], in_whole[p]));
      progress.advance();
    }
  }
  return report;
}

}  // namespace fettle
