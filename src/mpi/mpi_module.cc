// The module over MPI (MPI: A Message-Passing Interface Standard 3.1), with point-to-point messages only: in what order
// they arrive does not matter, and a wait for them can be left.
#include <mpi.h>

#include <vector>

#include "mpi/mpi_functions.h"

namespace {

constexpr int kTag = 17;

std::vector<MPI_Request>& requests() {
  static std::vector<MPI_Request> all;
  return all;
}

int start(int* rank, int* size) {
  int provided = 0;
  const int code = MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
  if (code != MPI_SUCCESS) return code;
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_rank(MPI_COMM_WORLD, rank);
  return MPI_Comm_size(MPI_COMM_WORLD, size);
}

void finish() {
  MPI_Finalize();
}

int send(const void* data, int size_bytes, int to) {
  return MPI_Isend(data, size_bytes, MPI_BYTE, to, kTag, MPI_COMM_WORLD, &requests().emplace_back(MPI_REQUEST_NULL));
}

int receive(void* data, int size_bytes, int from) {
  return MPI_Irecv(data, size_bytes, MPI_BYTE, from, kTag, MPI_COMM_WORLD, &requests().emplace_back(MPI_REQUEST_NULL));
}

int test(int* done) {
  const int code = MPI_Testall(static_cast<int>(requests().size()), requests().data(), done, MPI_STATUSES_IGNORE);
  if (code == MPI_SUCCESS && *done != 0) requests().clear();
  return code;
}

void forget() {
  for (MPI_Request& request : requests()) {
    if (request == MPI_REQUEST_NULL) continue;
    MPI_Cancel(&request);
    MPI_Request_free(&request);
  }
  requests().clear();
}

void abort_job(int exit_code) {
  MPI_Abort(MPI_COMM_WORLD, exit_code);
}

const char* error_text(int code) {
  static char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  if (MPI_Error_string(code, text, &length) != MPI_SUCCESS) return "unknown error";
  text[length] = '\0';
  return text;
}

constexpr FettleMpiFunctions kFunctions{start, finish, send, receive, test, forget, abort_job, error_text};

}  // namespace

extern "C" const FettleMpiFunctions* fettle_mpi_functions(int version) {
  return version == kFettleMpiVersion ? &kFunctions : nullptr;
}
