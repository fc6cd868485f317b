// `prune --method layers`: parts that go as a whole, so that what is left is a smaller model.
#include <fmt/format.h>

#include "base/error.h"
#include "cli/prune_methods.h"
#include "compress/prune/layer_order.h"
#include "compress/prune/surgery.h"

namespace fettle::cli {

namespace {

class StructureGroup final : public PruneGroup {
 public:
  std::vector<std::string> methods() const override { return {"layers"}; }

  void add_to(CLI::App& verb) override {
    verb.add_option("--which", which_, "layers: which ones go: top (default), bottom, alternate, symmetric")
        ->check(CLI::IsMember({"top", "bottom", "alternate", "symmetric"}));
  }

  std::vector<std::string> flags_of(const std::string&) const override { return {"--which"}; }

  void check(const PruneCommand& command) const override { command.target(); }

  PruneOutcome run(Model& model, const std::shared_ptr<const Model>& original, const PruneCommand& command,
                   const Globals&) override {
    const auto n = static_cast<int64_t>(model.config.layers.size());
    const int64_t n_drop = layers_to_drop(command.target(), n);
    KeptParts kept = everything(model.config);
    kept.layers = layers_left(layer_order(which_, n), n_drop);
    model = cut(*original, kept);
    PruneOutcome outcome;
    outcome.sparsity = static_cast<double>(n_drop) / static_cast<double>(n);
    outcome.removed = {{"layers", n_drop}};
    outcome.options = {{"target", command.target()}, {"which", which_}};
    outcome.text = fmt::format("{} of {} layers removed\n", n_drop, n);
    return outcome;
  }

 private:
  std::string which_ = "top";
};

}  // namespace

std::unique_ptr<PruneGroup> make_structure_group() {
  return std::make_unique<StructureGroup>();
}

}  // namespace fettle::cli
