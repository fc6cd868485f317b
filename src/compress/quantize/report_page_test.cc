#include "compress/quantize/report_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fettle {
namespace {

using testing::HasSubstr;
using testing::Not;

size_t count(const std::string& text, const std::string& part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

TEST(QuantizePage, HistogramsAreLogarithmic) {
  const std::string svg = histogram_svg({1, 0, 1000}, 1.5, "weights of <x>");
  EXPECT_EQ(count(svg, "<rect"), 2u);
  // log(1 + 1) / log(1 + 1000) of 34 pixels.
  EXPECT_THAT(svg, HasSubstr("height=\"3.4\""));
  EXPECT_THAT(svg, HasSubstr("height=\"34.0\""));
  EXPECT_THAT(svg, HasSubstr("<title>0.5 … 1.5: 1000</title>"));
  EXPECT_THAT(svg, HasSubstr("weights of &lt;x&gt;"));
  EXPECT_EQ(histogram_svg({}, 1, "none"), "");
}

TEST(QuantizePage, ShowsEveryLayer) {
  QuantizePage page;
  page.title = "a & b";
  page.facts = {{"seed", "0"}};
  page.report.layers = {{.name = "first",
                         .encoding = "int3-group32",
                         .shape = {4, 8},
                         .rmse = 0.25,
                         .cosine = 0.5,
                         .input_bits = 8,
                         .bits_per_weight = 3.7,
                         .outlier_ratio = 0.01,
                         .largest = 2,
                         .histogram = {1, 2, 3}},
                        {.name = "table", .encoding = "int8-channel", .shape = {9, 8}, .histogram = {5}}};
  const std::string html = quantize_page_html(page);
  for (const char* part : {"<h1>a &amp; b</h1>", "first", "int3-group32, 8-bit inputs", "[4, 8]", "3.70", "2.50e-01",
                           "0.500000", "1.0000 %", "±2", "table", "int8-channel<", "<dt>seed</dt>"}) {
    EXPECT_THAT(html, HasSubstr(part));
  }
  EXPECT_EQ(count(html, "<svg class=\"histogram\""), 2u);
  EXPECT_THAT(html, Not(HasSubstr("<th>inputs</th>")));
  page.report.layers[0].input_histogram = {1, 1};
  const std::string with_inputs = quantize_page_html(page);
  EXPECT_THAT(with_inputs, HasSubstr("<th>inputs</th>"));
  EXPECT_EQ(count(with_inputs, "<svg class=\"histogram\""), 3u);
}

}  // namespace
}  // namespace fettle
