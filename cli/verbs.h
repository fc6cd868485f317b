// All verbs of the program.
#pragma once

#include "cli/app.h"

namespace fettle::cli {

void add_all_verbs(Program& program);
void add_run_recipe(Program& program);

}  // namespace fettle::cli
