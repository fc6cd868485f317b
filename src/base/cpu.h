// What the processor can do, and permission to use its tile registers.
#pragma once

#include <string>

namespace fettle {

struct CpuFeatures {
  bool avx2 = false;         // AVX2, FMA and F16C
  bool avx512 = false;       // AVX-512 F, BW, DQ, VL
  bool avx512_vnni = false;  // and VNNI
  bool avx512_bf16 = false;
  bool amx_int8 = false;  // tiles, enabled by the operating system
  bool amx_bf16 = false;
  bool neon = false;
  bool neon_dot = false;  // NEON with dot products of bytes
  std::string model_name;
  int n_cores = 1;  // cores that the process may use
};

// Detected once. On Linux, asks the kernel for the tile state (arch_prctl ARCH_REQ_XCOMP_PERM) before reporting AMX.
const CpuFeatures& cpu_features();

}  // namespace fettle
