// For tests: the scripts of tests/oracle, run with Debian's Python.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <stdexcept>
#include <string>

namespace fettle {

struct PythonResult {
  int status = -1;  // as from wait(): 0 when all went well
  std::string output;
};

inline PythonResult run_python(const std::string& arguments) {
  PythonResult result;
  FILE* pipe = ::popen(("/usr/bin/python3 " + arguments + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return result;
  std::array<char, 4096> buffer;
  for (size_t n = 0; (n = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;)
    result.output.append(buffer.data(), n);
  result.status = ::pclose(pipe);
  return result;
}

inline PythonResult run_oracle(const std::string& script, const std::string& arguments) {
  return run_python("'" FETTLE_SOURCE_DIR "/tests/oracle/" + script + "' " + arguments);
}

// False only where Python or the module is not installed. Whatever else goes wrong is a failure: a test whose oracle is
// there must not be left out, and ctest takes a test that fails and skips for one that skips.
inline bool python_has(const std::string& module) {
  const PythonResult result = run_python("-c \"import importlib.util, sys; sys.exit(0 if importlib.util.find_spec('" +
                                         module + "') else 77)\"");
  if (result.status == 0) return true;
  const bool absent =
      WIFEXITED(result.status) && (WEXITSTATUS(result.status) == 77 || WEXITSTATUS(result.status) == 127);
  if (!absent) throw std::runtime_error("python3 does not run: " + result.output);
  return false;
}

}  // namespace fettle
