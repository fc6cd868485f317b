// A table of numbers as a picture: the darker, the larger.
#pragma once

#include <string>
#include <vector>

namespace fettle {

struct HeatMap {
  std::string title;                       // for those who do not see it
  std::string row_title = "layer";         // beside the rows
  std::string column_title;                // below the columns
  std::vector<std::vector<double>> rows;   // 0 or more, of any lengths; rows[0] is drawn lowest
  std::vector<std::vector<bool>> crossed;  // as rows, or empty: what is struck out
  bool label_columns = true;               // with their numbers
};

// One SVG. Cells are shaded by their share of the largest value of all; a cell's tool tip says its number.
std::string heat_map_svg(const HeatMap& map);

}  // namespace fettle
