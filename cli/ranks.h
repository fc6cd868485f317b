// A verb run by several ranks: mpirun -n 4 fettle train …
#pragma once

#include <functional>

#include "cli/app.h"
#include "train/parallel/communicator.h"

namespace fettle::cli {

// Runs `verb` with the communicator of the job whose launcher (mpirun, srun) started this process, or with null. Only
// the first rank prints anything; an error of one rank ends the whole job with one line.
int run_with_ranks(Globals& globals, const std::function<int(Communicator*)>& verb);

// Where ranks worked side by side: waits for all of them, and is true for those that leave the rest to the first.
bool leaves_to_first(Communicator* ranks);

}  // namespace fettle::cli
