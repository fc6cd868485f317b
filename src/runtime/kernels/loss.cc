#include <fmt/format.h>

#include <cstring>
#include <vector>

#include "base/error.h"
#include "runtime/kernels/factories.h"

namespace fettle {
namespace {

constexpr int64_t kSoftmaxGrain = 8192;

void copy_rows(const Slot& from, const Slot& to, int64_t begin, int64_t end) {
  if (from.data == to.data) return;
  std::memcpy(to.f32() + begin * to.width, from.f32() + begin * from.width,
              static_cast<size_t>((end - begin) * to.width) * sizeof(float));
}

using SoftmaxKernel = void (*KernelTable::*)(float*, int64_t, int64_t);

class SoftmaxNode : public NodeKernel {
 public:
  SoftmaxNode(const NodeBinding& binding, SoftmaxKernel kernel)
      : x_(binding.input(0)), y_(binding.output(0)), kernel_(kernel) {}

  void run(const RunContext& context) override {
    const Slot& x = context[x_];
    const Slot& y = context[y_];
    for_row_ranges(context, y.rows, y.width, kSoftmaxGrain, [&](int64_t begin, int64_t end) {
      copy_rows(x, y, begin, end);
      (context.table->*kernel_)(y.f32() + begin * y.width, end - begin, y.width);
    });
  }

 private:
  ValueId x_, y_;
  SoftmaxKernel kernel_;
};

// The sum of the weights of the labels, or their number where `weights` is null.
double weigh_labels(const int32_t* labels, int64_t rows, int64_t n_classes, const float* weights,
                    const std::string& where) {
  double sum = 0;
  for (int64_t r = 0; r < rows; ++r) {
    if (labels[r] >= n_classes) {
      bad_input(where, fmt::format("label {} at row {} is outside the {} classes", labels[r], r, n_classes));
    }
    if (labels[r] >= 0) sum += weights == nullptr ? 1.0 : static_cast<double>(weights[labels[r]]);
  }
  return sum;
}

const float* weights_of(const RunContext& context, ValueId id) {
  return id == kNoValue ? nullptr : context[id].f32();
}

class CrossEntropyNode : public NodeKernel {
 public:
  explicit CrossEntropyNode(const NodeBinding& binding)
      : logits_(binding.input(0)),
        labels_(binding.input(1)),
        weights_(binding.input(2)),
        loss_(binding.output(0)),
        log_probabilities_(binding.output(1)),
        smoothing_(binding.attributes().get_double("label_smoothing", 0)),
        where_(binding.node.name) {}

  void run(const RunContext& context) override {
    const Slot& logits = context[logits_];
    const Slot& log_p = context[log_probabilities_];
    const int32_t* labels = context[labels_].i32();
    const float* weights = weights_of(context, weights_);
    const double total = weigh_labels(labels, log_p.rows, log_p.width, weights, where_);
    row_losses_.resize(static_cast<size_t>(log_p.rows));
    for_row_ranges(context, log_p.rows, log_p.width, kSoftmaxGrain, [&](int64_t begin, int64_t end) {
      copy_rows(logits, log_p, begin, end);
      context.table->log_softmax(log_p.f32() + begin * log_p.width, end - begin, log_p.width);
      for (int64_t r = begin; r < end; ++r)
        row_losses_[static_cast<size_t>(r)] = row_loss(log_p, r, labels[r], weights);
    });
    double sum = 0;
    for (const double row : row_losses_) sum += row;
    context[loss_].f32()[0] = total == 0 ? 0.0f : static_cast<float>(sum / total);
  }

 private:
  double row_loss(const Slot& log_p, int64_t r, int32_t label, const float* weights) const {
    if (label < 0) return 0;
    const float* row = log_p.f32() + r * log_p.width;
    const auto weight = [weights](int64_t c) { return weights == nullptr ? 1.0 : static_cast<double>(weights[c]); };
    double loss = -(1 - smoothing_) * weight(label) * static_cast<double>(row[label]);
    if (smoothing_ > 0) {
      double sum = 0;
      for (int64_t c = 0; c < log_p.width; ++c) sum += weight(c) * static_cast<double>(row[c]);
      loss -= smoothing_ * sum / static_cast<double>(log_p.width);
    }
    return loss;
  }

  ValueId logits_, labels_, weights_, loss_, log_probabilities_;
  double smoothing_;
  std::string where_;
  std::vector<double> row_losses_;
};

class CrossEntropyGradNode : public NodeKernel {
 public:
  explicit CrossEntropyGradNode(const NodeBinding& binding)
      : log_probabilities_(binding.input(0)),
        labels_(binding.input(1)),
        d_loss_(binding.input(2)),
        weights_(binding.input(3)),
        d_logits_(binding.output(0)),
        smoothing_(binding.attributes().get_double("label_smoothing", 0)),
        where_(binding.node.name) {}

  void run(const RunContext& context) override {
    const Slot& log_p = context[log_probabilities_];
    const Slot& d = context[d_logits_];
    const int32_t* labels = context[labels_].i32();
    const float* weights = weights_of(context, weights_);
    const double total = weigh_labels(labels, d.rows, d.width, weights, where_);
    const float factor = total == 0 ? 0.0f : context[d_loss_].f32()[0] / static_cast<float>(total);
    const float everywhere = static_cast<float>(smoothing_ / static_cast<double>(d.width));
    const float at_label = static_cast<float>(1 - smoothing_);
    for_row_ranges(context, d.rows, d.width, kSoftmaxGrain, [&](int64_t begin, int64_t end) {
      copy_rows(log_p, d, begin, end);
      for (int64_t r = begin; r < end; ++r) {
        float* row = d.f32() + r * d.width;
        if (labels[r] < 0) {
          std::memset(row, 0, static_cast<size_t>(d.width) * sizeof(float));
          continue;
        }
        // The softmax of log-probabilities is the probabilities themselves.
        context.table->softmax(row, 1, d.width);
        if (weights != nullptr) {
          weighted_gradient(row, d.width, labels[r], weights, factor);
          continue;
        }
        row[labels[r]] -= at_label;
        for (int64_t c = 0; c < d.width; ++c) row[c] = (row[c] - everywhere) * factor;
      }
    });
  }

 private:
  // From the row's probabilities, in place.
  void weighted_gradient(float* row, int64_t n_classes, int32_t label, const float* weights, float factor) const {
    const double everywhere = smoothing_ / static_cast<double>(n_classes);
    const double at_label = (1 - smoothing_) * static_cast<double>(weights[label]);
    double target = at_label;
    for (int64_t c = 0; c < n_classes; ++c) target += everywhere * static_cast<double>(weights[c]);
    for (int64_t c = 0; c < n_classes; ++c) {
      const double own = (c == label ? at_label : 0) + everywhere * static_cast<double>(weights[c]);
      row[c] = static_cast<float>(static_cast<double>(row[c]) * target - own) * factor;
    }
  }

  ValueId log_probabilities_, labels_, d_loss_, weights_, d_logits_;
  double smoothing_;
  std::string where_;
};

}  // namespace

std::unique_ptr<NodeKernel> make_softmax(const NodeBinding& binding) {
  return std::make_unique<SoftmaxNode>(binding, &KernelTable::softmax);
}
std::unique_ptr<NodeKernel> make_log_softmax(const NodeBinding& binding) {
  return std::make_unique<SoftmaxNode>(binding, &KernelTable::log_softmax);
}
std::unique_ptr<NodeKernel> make_softmax_cross_entropy(const NodeBinding& binding) {
  return std::make_unique<CrossEntropyNode>(binding);
}
std::unique_ptr<NodeKernel> make_softmax_cross_entropy_grad(const NodeBinding& binding) {
  return std::make_unique<CrossEntropyGradNode>(binding);
}

}  // namespace fettle
