// Tucker decomposition of the same matrix of many layers.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/cancel.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "compress/factorize/common.h"
#include "model/factors.h"
#include "model/layer_names.h"

namespace fettle {
namespace {

using Eigen::MatrixXd;

constexpr int kSweeps = 3;

// Linears of one kind and shape.
struct Stack {
  std::vector<std::string> names;
  std::vector<MatrixXd> matrices;  // each [rows, columns]
  MatrixXd left;                   // [rows, out_rank], orthonormal columns
  MatrixXd right;                  // [columns, in_rank]

  int64_t rows() const { return matrices[0].rows(); }
  int64_t columns() const { return matrices[0].cols(); }
  int64_t depth() const { return std::ssize(matrices); }
};

struct StackRanks {
  int64_t out = 0;
  int64_t in = 0;
};

// What the matrices can have at most: a mode's rank is no larger than the product of the others'.
StackRanks fitting(const Stack& stack, int64_t rank) {
  StackRanks ranks{.out = std::min(rank, stack.rows()), .in = std::min(rank, stack.columns())};
  ranks.in = std::min(ranks.in, ranks.out * stack.depth());
  ranks.out = std::min(ranks.out, ranks.in * stack.depth());
  return ranks;
}

int64_t n_numbers(const Stack& stack, const StackRanks& ranks) {
  return ranks.out * stack.rows() + ranks.in * stack.columns() + stack.depth() * ranks.out * ranks.in;
}
int64_t n_numbers_whole(const Stack& stack) {
  return stack.depth() * stack.rows() * stack.columns();
}

// The leading `count` left singular vectors of the parts side by side, [n, k] each: of their Gram matrix, or where that
// is larger, of the other one's.
MatrixXd leading_side(const std::vector<MatrixXd>& parts, int64_t count) {
  const Eigen::Index n = parts[0].rows();
  const Eigen::Index k = parts[0].cols();
  const Eigen::Index width = k * static_cast<Eigen::Index>(parts.size());
  if (n <= width) {
    MatrixXd gram = MatrixXd::Zero(n, n);
    for (const MatrixXd& part : parts) gram += part * part.transpose();
    return leading_vectors(gram, count);
  }
  MatrixXd all(n, width);
  for (size_t i = 0; i < parts.size(); ++i) all.middleCols(static_cast<Eigen::Index>(i) * k, k) = parts[i];
  MatrixXd side = all * leading_vectors(all.transpose() * all, count);
  // Orthonormal again where singular values were small.
  for (Eigen::Index c = 0; c < side.cols(); ++c) {
    for (int pass = 0; pass < 2; ++pass) {
      if (c > 0) side.col(c) -= side.leftCols(c) * (side.leftCols(c).transpose() * side.col(c));
    }
    const double length = side.col(c).norm();
    if (length > 1e-12 * (1 + side.col(0).norm())) {
      side.col(c) /= length;
    } else {
      side.col(c).setZero();
    }
  }
  return side;
}

void decompose(Stack& stack, const StackRanks& ranks) {
  const auto fit_left = [&](bool first) {
    std::vector<MatrixXd> parts;
    for (const MatrixXd& w : stack.matrices) parts.push_back(first ? w : MatrixXd(w * stack.right));
    stack.left = leading_side(parts, ranks.out);
  };
  const auto fit_right = [&](bool first) {
    std::vector<MatrixXd> parts;
    for (const MatrixXd& w : stack.matrices) {
      parts.push_back(first ? MatrixXd(w.transpose()) : MatrixXd(w.transpose() * stack.left));
    }
    stack.right = leading_side(parts, ranks.in);
  };
  // The first side has no partner yet: the smaller one, whose Gram matrix is cheap.
  const bool left_first = stack.rows() <= stack.columns();
  for (int sweep = 0; sweep <= kSweeps; ++sweep) {
    throw_if_cancelled();
    if (left_first) {
      fit_left(sweep == 0);
      fit_right(false);
    } else {
      fit_right(sweep == 0);
      fit_left(false);
    }
  }
}

// The same matrix of all layers, by shape: layers that were pruned to another width make a stack of their own.
std::vector<Stack> stacks_of(const Model& model, const FactorizeOptions& options) {
  std::map<std::string, Stack> by_kind;
  std::vector<std::string> order;
  for (const std::string& name : encoder_linears(model.config, options.attention, options.feed_forward)) {
    const MatrixXd values = whole(model, name).cast<double>();
    // What follows the layer's number: "attention.self.query".
    const size_t layer = name.find_first_of("0123456789", model.config.shares_layers() ? name.find("groups.") : 0);
    const std::string kind = fmt::format("{} {} {}", name.substr(name.find('.', layer)), values.rows(), values.cols());
    Stack& stack = by_kind[kind];
    if (stack.names.empty()) order.push_back(kind);
    stack.names.push_back(name);
    stack.matrices.push_back(values);
  }
  std::vector<Stack> stacks;
  for (const std::string& kind : order) stacks.push_back(std::move(by_kind[kind]));
  return stacks;
}

// The largest rank at which all stacks together have at most the budget; those that stay whole count as they are.
int64_t rank_for(const std::vector<Stack>& stacks, double target) {
  const auto total = [&](int64_t rank) {
    int64_t n = 0;
    for (const Stack& stack : stacks) n += std::min(n_numbers(stack, fitting(stack, rank)), n_numbers_whole(stack));
    return n;
  };
  int64_t all = 0;
  int64_t widest = 1;
  for (const Stack& stack : stacks) {
    all += n_numbers_whole(stack);
    widest = std::max({widest, stack.rows(), stack.columns()});
  }
  const auto budget = static_cast<int64_t>((1 - target) * static_cast<double>(all));
  if (total(1) > budget) usage_error("--target", "removes more than a Tucker decomposition can");
  int64_t low = 1;
  int64_t high = widest;
  while (low < high) {
    const int64_t middle = (low + high + 1) / 2;
    (total(middle) <= budget ? low : high) = total(middle) <= budget ? middle : middle - 1;
  }
  return low;
}

void replace(Model& model, Stack& stack, const StackRanks& ranks, std::vector<LayerFactors>& report) {
  const DType dtype = float_type(model, stack.names[0]);
  for (const std::string& name : stack.names) forget_matrix(model, name);
  set_matrix(model, stack.names[0] + kFactorIn, stack.right.transpose().cast<float>(), dtype);
  set_matrix(model, stack.names[0] + kFactorOut, stack.left.cast<float>(), dtype);
  for (size_t i = 0; i < stack.names.size(); ++i) {
    const MatrixXd core = stack.left.transpose() * stack.matrices[i] * stack.right;
    set_matrix(model, stack.names[i] + kFactorCore, core.cast<float>(), dtype);
    model.config.stacked[stack.names[i]] = {.owner = stack.names[0], .in_rank = ranks.in, .out_rank = ranks.out};
    const double all = stack.matrices[i].norm();
    const double error = (stack.matrices[i] - stack.left * core * stack.right.transpose()).norm();
    report.push_back({.name = stack.names[i],
                      .rank = std::min(ranks.in, ranks.out),
                      .relative_error = all > 0 ? error / all : 0,
                      .remark = i == 0 ? "" : "its outer factors are those of " + stack.names[0]});
  }
}

}  // namespace

FactorizeReport factorize_stacks(Model& model, const FactorizeOptions& options) {
  check_options(options);
  FactorizeReport report{.size_mb_before = size_mb_of(model), .size_mb = 0, .layers = {}};
  std::vector<Stack> stacks = stacks_of(model, options);
  if (stacks.empty()) usage_error("factorize", "no part of the encoder is chosen");
  const int64_t rank = options.rank > 0 ? options.rank : rank_for(stacks, options.target);
  const auto gains = [&](const Stack& stack) {
    return n_numbers(stack, fitting(stack, rank)) < n_numbers_whole(stack);
  };
  if (std::ranges::none_of(stacks, gains)) {
    usage_error("factorize", fmt::format("rank {} makes no stack of matrices smaller", rank));
  }
  ThreadPool pool(options.n_threads);
  pool.parallel_for(std::ssize(stacks), [&](int64_t i, int) {
    Stack& stack = stacks[static_cast<size_t>(i)];
    if (gains(stack)) decompose(stack, fitting(stack, rank));
  });
  for (Stack& stack : stacks) {
    if (gains(stack)) {
      replace(model, stack, fitting(stack, rank), report.layers);
      continue;
    }
    for (const std::string& name : stack.names) {
      report.layers.push_back({.name = name, .remark = fmt::format("stays whole: rank {} gains nothing", rank)});
    }
  }
  report.size_mb = size_mb_of(model);
  return report;
}

}  // namespace fettle
