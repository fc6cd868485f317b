// In which order whole layers go (Sajjad et al. 2023, "On the effect of dropping layers of pre-trained transformers").
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace fettle {

// All layers of n, the first to go first:
// - "top": from the last one down (their output is nearest to the loss, but least general);
// - "bottom": from the first one up;
// - "alternate": every other one from the last but one down, then those between, the last one at the end;
// - "symmetric": from the middle to both ends.
// kUsage for other rules.
std::vector<int64_t> layer_order(std::string_view rule, int64_t n);
// Those of lowest contribution first; of equal ones the higher.
std::vector<int64_t> layer_order(const std::vector<double>& contribution);
// How many of n layers a share is, rounded; kUsage when that is none or all.
int64_t layers_to_drop(double share, int64_t n);
// What stays when the first n_drop of the order go, rising.
std::vector<int64_t> layers_left(const std::vector<int64_t>& order, int64_t n_drop);

}  // namespace fettle
