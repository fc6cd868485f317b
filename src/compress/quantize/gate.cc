#include "compress/quantize/gate.h"

#include <fettle/error.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/progress.h"

namespace fettle {
namespace {

constexpr int kBitLadder[] = {3, 4, 8};

// Fallbacks in the order in which they are made, found as far as they are asked for.
class Ladder {
 public:
  Ladder(const Model& model, const Model& rounded, const Dataset& texts, const SensitivityOptions& options)
      : rounded_(rounded), probe_(rounded, texts, options) {
    Progress progress("sensitivity", std::ssize(model.parameters.names()), "weights");
    for (const std::string& name : model.parameters.names()) {
      progress.advance();
      const EncodedTensor& stored = model.parameters.get(name);
      if (stored.encoding == rounded.parameters.get(name).encoding || stored.shape.size() != 2) continue;
      rungs_.push_back({name, stored, probe_.kl(name, stored), false});
    }
    progress.finish();
  }

  struct Step {
    Fallback what;
    EncodedTensor weight;
  };

  // Step `i`; false when all weights are in float by then.
  bool reach(size_t i) {
    while (steps_.size() <= i) {
      const auto worst = std::ranges::max_element(
          rungs_, [](const Rung& a, const Rung& b) { return a.is_float != b.is_float ? a.is_float : a.kl < b.kl; });
      if (worst == rungs_.end() || worst->is_float) return false;
      steps_.push_back(widen(*worst));
    }
    return true;
  }

  const Step& step(size_t i) const { return steps_[i]; }

 private:
  struct Rung {
    std::string name;
    EncodedTensor stored;
    double kl;
    bool is_float;
  };

  Step widen(Rung& rung) {
    const EncodedTensor& in_float = rounded_.parameters.get(rung.name);
    const std::optional<Encoding> wider = wider_encoding(rung.stored.encoding);
    EncodedTensor weight = wider ? encode(in_float.decode(), *wider) : in_float;
    Fallback what{rung.name, encoding_name(rung.stored.encoding), encoding_name(weight.encoding), rung.kl};
    rung = {rung.name, weight, wider ? probe_.kl(rung.name, weight) : 0, !wider};
    return {std::move(what), std::move(weight)};
  }

  const Model& rounded_;
  LogitProbe probe_;
  std::vector<Rung> rungs_;
  std::vector<Step> steps_;
};

class Gate {
 public:
  Gate(const Model& model, const std::shared_ptr<const Model>& original, const Dataset& eval,
       const GateOptions& options)
      : model_(model), eval_(eval), options_(options), before_(answers(original)) {
    for (const Example& example : eval.examples) truth_.push_back(example.label);
    result_.accuracy_before = measure_quality(before_, eval).accuracy;
  }

  // Fills the result for the model with the first `n` steps of the ladder; whether the gate holds.
  bool holds(const Ladder* ladder, size_t n) {
    const auto tried = std::make_shared<Model>(model_);
    result_.fallbacks.clear();
    for (size_t i = 0; i < n; ++i) {
      tried->parameters.set(ladder->step(i).what.name, ladder->step(i).weight);
      result_.fallbacks.push_back(ladder->step(i).what);
    }
    const Predictions after = answers(tried);
    result_.accuracy = measure_quality(after, eval_).accuracy;
    result_.test = compare_predictions(before_.labels, after.labels, truth_, options_.seed);
    ++result_.n_evaluations;
    return 100 * (result_.accuracy_before - result_.accuracy) <= options_.max_drop + 1e-9;
  }

  const GateResult& result() const { return result_; }

 private:
  Predictions answers(const std::shared_ptr<const Model>& of) const {
    Session session(of, options_.session);
    return predict(session, eval_);
  }

  const Model& model_;
  const Dataset& eval_;
  const GateOptions& options_;
  Predictions before_;
  std::vector<int32_t> truth_;
  GateResult result_;
};

[[noreturn]] void not_held(const GateResult& result, const GateOptions& options, const std::string& hint) {
  throw Error(
      ErrorCode::kConstraints, "quantize",
      fmt::format("accuracy drops from {:.4f} to {:.4f}, by {:.2f} points (95 % interval {:+.2f} to {:+.2f}, "
                  "McNemar p = {:.3f}): more than --max-drop {:g}",
                  result.accuracy_before, result.accuracy, 100 * (result.accuracy_before - result.accuracy),
                  100 * result.test.ci95_low, 100 * result.test.ci95_high, result.test.mcnemar_p, options.max_drop),
      hint);
}

}  // namespace

std::optional<Encoding> wider_encoding(const Encoding& encoding) {
  Encoding wider = encoding;
  if (encoding.kind == EncodingKind::kIntChannel) {
    if (!encoding.static_input && !encoding.per_tensor) return {};
    wider.static_input = false;
    if (!encoding.static_input) wider.per_tensor = false;
    return wider;
  }
  if (encoding.kind != EncodingKind::kIntGroup) return {};
  wider.static_input = false;
  const auto* const more = std::ranges::find_if(kBitLadder, [&](int bits) { return bits > encoding.bits; });
  if (more != std::end(kBitLadder) && *more < 8) {
    wider.bits = *more;
    return wider;
  }
  wider = Encoding::int8_channel();
  wider.input_bits = encoding.input_bits;
  return wider;
}

GateResult hold_gate(Model& model, const Model* rounded, const std::shared_ptr<const Model>& original,
                     const Dataset& eval, const GateOptions& options) {
  require_labels(eval);
  Gate gate(model, original, eval, options);
  if (gate.holds(nullptr, 0)) return gate.result();
  if (rounded == nullptr) not_held(gate.result(), options, "more bits or more epochs");
  Ladder ladder(model, *rounded, eval, options.sensitivity);
  size_t failing = 0;
  size_t holding = 0;
  for (size_t n = 1; holding == 0; n *= 2) {
    size_t reached = n;
    while (reached > failing && !ladder.reach(reached - 1)) --reached;
    if (reached == failing) not_held(gate.result(), options, "even in float: it is the method that changed it");
    (gate.holds(&ladder, reached) ? holding : failing) = reached;
  }
  while (holding - failing > 1) {
    const size_t middle = failing + (holding - failing) / 2;
    (gate.holds(&ladder, middle) ? holding : failing) = middle;
  }
  gate.holds(&ladder, holding);
  for (size_t i = 0; i < holding; ++i) {
    model.parameters.set(ladder.step(i).what.name, ladder.step(i).weight);
  }
  return gate.result();
}

}  // namespace fettle
