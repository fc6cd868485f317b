// Rules that shape a student after its teacher: "layers=0,2,4 hidden=128 heads=2 intermediate=512".
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "model/config.h"

namespace fettle {

struct StudentRule {
  std::vector<int64_t> layers;  // of the teacher, in the student's order; all when the rule names none
  int64_t hidden = 0;           // the teacher's when the rule names none
  std::vector<int64_t> heads;   // for each layer of the student
  std::vector<int64_t> intermediate;
};

// Clauses are separated by spaces, commas or semicolons. A narrower hidden size narrows heads and intermediate in
// proportion unless they are named. kUsage for anything that is not understood or does not fit the teacher.
StudentRule parse_student_rule(std::string_view rule, const ModelConfig& teacher);

}  // namespace fettle
