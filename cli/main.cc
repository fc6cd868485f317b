// The fettle program.
#include <cstdio>
#include <new>

#include "cli/verbs.h"

// Even the verbs' options may not fit.
int main(int argc, char** argv) try {
  fettle::cli::Program program;
  fettle::cli::add_all_verbs(program);
  return program.run(argc, argv);
} catch (const std::bad_alloc&) {
  std::fputs("fettle: out of memory\n", stderr);
  return 1;
}
