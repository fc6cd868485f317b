// Aligned columns for terminals.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fettle {

// Terminal columns of UTF-8 text without wide characters: code points.
size_t display_width(std::string_view text);
// The last characters of a text that is too long for `width`, behind "…": names of nodes differ at their ends.
std::string keep_end(std::string_view text, size_t width);

// The titles, then a line each.
using TextTable = std::vector<std::vector<std::string>>;
// The first column to the left, cut at its beginning when the lines are longer than `columns`; the others to the right.
// A rule below the titles.
std::string format_columns(const TextTable& table, int columns);
// Words to lines of at most `columns`, each but the first behind `indent` blanks.
std::string wrap(std::string_view text, int columns, size_t indent);

}  // namespace fettle
