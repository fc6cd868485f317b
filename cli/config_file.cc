#include "cli/config_file.h"

#include <algorithm>
#include <cstdlib>

#include "base/error.h"
#include "base/json.h"

namespace fettle::cli {

namespace {

constexpr const char* kFlag = "--config";

using Args = std::vector<std::string>;

// Where positionals begin for good ("--"), or the end.
Args::iterator options_end(Args& args) {
  return std::find(args.begin(), args.end(), "--");
}

bool is_given(Args& args, const std::string& flag) {
  return std::any_of(args.begin(), options_end(args),
                     [&](const std::string& arg) { return arg == flag || arg.starts_with(flag + "="); });
}

std::string config_path(Args& args) {
  const std::string prefix = std::string(kFlag) + "=";
  const auto end = options_end(args);
  for (auto arg = args.begin(); arg != end; ++arg) {
    if (arg->starts_with(prefix)) return arg->substr(prefix.size());
    if (*arg == kFlag && arg + 1 != end) return *(arg + 1);
  }
  const char* from_environment = std::getenv("FETTLE_CONFIG");
  return from_environment == nullptr ? "" : from_environment;
}

bool is_in_environment(const CLI::Option& option) {
  const char* value = option.get_envname().empty() ? nullptr : std::getenv(option.get_envname().c_str());
  return value != nullptr && *value != '\0';
}

std::string scalar(const Json& value, const std::string& where) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number() || value.is_boolean()) return value.dump();
  bad_input(where, "is neither a string, a number, true, false nor a list of these");
}

}  // namespace

std::vector<std::string> with_config_file(CLI::App& verb, std::vector<std::string> args) {
  const std::string path = config_path(args);
  if (path.empty()) return args;
  const Json json = read_json(path);
  if (!json.is_object()) bad_input(path, "is not a JSON object");
  Args added;
  for (const auto& [key, value] : json.items()) {
    std::string flag = "--" + key;
    std::replace(flag.begin(), flag.end(), '_', '-');
    const CLI::Option* option = flag == kFlag || flag == "--help" ? nullptr : verb.get_option_no_throw(flag);
    if (option == nullptr) {
      usage_error(path, "\"" + key + "\" is no option of " + verb.get_name(), "fettle " + verb.get_name() + " --help");
    }
    if (is_given(args, flag) || is_in_environment(*option)) continue;
    const std::string where = path + ": \"" + key + "\"";
    for (const Json& item : value.is_array() ? value : Json::array({value})) {
      added.push_back(flag + "=" + scalar(item, where));
    }
  }
  args.insert(options_end(args), added.begin(), added.end());
  return args;
}

}  // namespace fettle::cli
