// Label ids of CLINC150 as Hugging Face's data set `clinc_oos` numbers them.
#pragma once

#include <span>
#include <string_view>

namespace fettle {

// The names by id, 151 with "oos" (42).
std::span<const std::string_view> clinc_oos_labels();

}  // namespace fettle
