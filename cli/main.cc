// The fettle program.
#include "cli/verbs.h"

int main(int argc, char** argv) {
  fettle::cli::Program program;
  fettle::cli::add_all_verbs(program);
  return program.run(argc, argv);
}
