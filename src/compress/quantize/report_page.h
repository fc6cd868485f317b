// The page of a quantization: a table of its layers, with pictures of how their weights and inputs are spread.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "compress/quantize/dynamic.h"

namespace fettle {

struct QuantizePage {
  std::string title;
  std::string summary;
  QuantizeReport report;
  std::vector<std::pair<std::string, std::string>> facts;
};

// Self-contained HTML.
std::string quantize_page_html(const QuantizePage& page);

// Counts of equally wide bins from -largest to largest as bars whose heights are logarithms, so that the few far from
// zero can be seen. "" without counts.
std::string histogram_svg(const std::vector<int64_t>& counts, double largest, const std::string& title);

}  // namespace fettle
