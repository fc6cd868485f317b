// The tree-structured Parzen estimator (Bergstra, Bardenet, Bengio & Kégl 2011), over all parameters at once.
#pragma once

#include "search/sampler.h"

namespace fettle {

struct TpeOptions {
  int64_t n_startup = 10;     // finished trials before the first suggestion that is not random
  int64_t n_candidates = 24;  // drawn from the good ones' density
  double good_share = 0.1;    // min(ceil(share · n), most_good) trials are good
  int64_t most_good = 15;
  double narrowest = 0.01;  // kernels may be as narrow as 1/(1 + n) of the range, but not narrower than this
};

// Trials are split into good and other ones; a Parzen estimator (parzen.h) is fitted to each, l(x) and g(x); of
// candidates drawn from l the one with the largest l(x) / g(x) is suggested, which maximizes the expected improvement.
// Time and memory are linear in the number of trials.
// - One goal: complete trials by their value, then pruned ones by how far they got and their last value there.
// - Several: complete trials by their front (trial.h), within the last front that has good ones those with the most
// room
//   around them (Ozaki et al. 2020 take the hypervolume there).
// - Failed and running trials are never good, so that neither a region that fails nor one that is being tried draws
// more.
// - What was tried already is suggested again only if nothing else is found.
class TpeSampler : public Sampler {
 public:
  explicit TpeSampler(const TpeOptions& options = {}) : options_(options) {}
  ParameterValues suggest(const Space& space, const History& history, uint64_t seed, int64_t number) const override;
  std::string_view name() const override { return "tpe"; }

 private:
  TpeOptions options_;
};

// Indices of the trials, best first; failed and running ones are left out.
std::vector<size_t> rank_trials(const History& history);

}  // namespace fettle
