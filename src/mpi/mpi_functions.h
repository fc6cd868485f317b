// What fettle needs of MPI, as a table of C functions. The program itself does not link MPI: the module that fills this
// table is loaded only when a launcher started the process as one of several ranks, so that everybody else neither
// waits for MPI's libraries nor needs them.
#pragma once

#include <stdint.h>

extern "C" {

// Functions return 0, or a code that error_text knows.
struct FettleMpiFunctions {
  int (*start)(int* rank, int* size);
  void (*finish)();
  // Begin a message of so many bytes; it stays under way until test says that all are done.
  int (*send)(const void* data, int size_bytes, int to);
  int (*receive)(void* data, int size_bytes, int from);
  // *done is 1 when every message begun is done.
  int (*test)(int* done);
  // Gives up the messages under way.
  void (*forget)();
  void (*abort)(int exit_code);
  const char* (*error_text)(int code);
};

// The module's one symbol; `version` must be kFettleMpiVersion, else null.
typedef const struct FettleMpiFunctions* (*FettleMpiEntry)(int version);
const struct FettleMpiFunctions* fettle_mpi_functions(int version);
}

inline constexpr int kFettleMpiVersion = 1;
