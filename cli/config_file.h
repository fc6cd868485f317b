// `--config FILE.json`: options of a verb from a file, {"threads": 2, "learning_rate": 1e-3, "student": ["layers=0"]}.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace fettle::cli {

// `args` without the program's name. Returns them with the options that the file named by --config (or FETTLE_CONFIG)
// adds: what the command line or the environment says already is left out. Errors: kIo when the file cannot be read,
// kBadInput when it is malformed, kUsage for an option that the verb does not have.
std::vector<std::string> with_config_file(CLI::App& verb, std::vector<std::string> args);

}  // namespace fettle::cli
