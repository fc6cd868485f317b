// The methods of `quantize` that look at data before they round.
#include "cli/quantize_methods.h"

namespace fettle::cli {

namespace {

class CalibratedGroup final : public QuantizeGroup {
 public:
  std::vector<std::string> methods() const override { return {}; }
  void add_to(CLI::App&) override {}
  std::vector<std::string> flags_of(const std::string&) const override { return {}; }
  std::optional<QuantizeOptions> scheme(const QuantizeCommand&) const override { return {}; }
  void check(const QuantizeCommand&) const override {}
  QuantizeOutcome run(Model&, const QuantizeJob&) override { return {}; }
};

}  // namespace

std::unique_ptr<QuantizeGroup> make_calibrated_group() {
  return std::make_unique<CalibratedGroup>();
}

}  // namespace fettle::cli
