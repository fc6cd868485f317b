#include "cli/app.h"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <istream>

#include "base/cancel.h"
#include "base/error.h"
#include "base/log.h"
#include "base/progress.h"

namespace fettle::cli {

namespace {

// `--config FILE.json`: {"threads": 2, "epochs": 5} for the verb's own options.
class JsonConfig : public CLI::Config {
 public:
  std::string to_config(const CLI::App*, bool, bool, std::string) const override { return "{}\n"; }

  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override {
    const std::string text{std::istreambuf_iterator<char>(input), {}};
    const Json json = parse_json(text, "--config");
    if (!json.is_object()) bad_input("--config", "is no JSON object");
    std::vector<CLI::ConfigItem> items;
    for (const auto& [key, value] : json.items()) {
      CLI::ConfigItem item;
      item.name = key;
      std::replace(item.name.begin(), item.name.end(), '_', '-');
      if (value.is_array()) {
        for (const Json& element : value) item.inputs.push_back(scalar(element));
      } else {
        item.inputs.push_back(scalar(value));
      }
      items.push_back(std::move(item));
    }
    return items;
  }

 private:
  static std::string scalar(const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }
};

// Every flag can come from the environment: --max-length is FETTLE_MAX_LENGTH.
void name_environment(CLI::App& verb) {
  for (CLI::Option* option : verb.get_options()) {
    if (option->get_lnames().empty() || option->get_positional()) continue;
    std::string name = "FETTLE_" + option->get_lnames().front();
    if (name == "FETTLE_help" || name == "FETTLE_config") continue;
    for (char& c : name) c = c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    option->envname(name);
  }
}

std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

}  // namespace

SessionOptions Globals::session() const {
  SessionOptions options;
  options.n_threads = threads;
  options.isa = isa;
  return options;
}

Program::Program() : root_("fettle makes transformers small and fast, and proves it", "fettle") {
  root_.require_subcommand(1);
  root_.set_version_flag("--version", std::string("fettle ") + FETTLE_VERSION);
  root_.footer("fettle VERB --help says the rest. Start with: fettle demo");
  root_.get_formatter()->column_width(34);
}

CLI::App* Program::add_verb(const std::string& name, const std::string& help, Run run, CLI::App* parent) {
  CLI::App* verb = (parent != nullptr ? *parent : root_).add_subcommand(name, help);
  verb->add_option("--threads", globals_.threads, "threads (default: all cores)")->check(CLI::Range(0, 1024));
  verb->add_option("--seed", globals_.seed, "seed of all randomness (default 0)");
  verb->add_flag("--force", globals_.force, "overwrite outputs");
  verb->add_flag("--json", globals_.json, "print one JSON object");
  verb->add_flag("--quiet", globals_.quiet, "no progress, no notes");
  verb->add_option("--isa", globals_.isa, "force a kernel table (fettle cpu lists them)");
  verb->set_config("--config", "", "read options from a JSON file")->check(CLI::ExistingFile);
  verb->config_formatter(std::make_shared<JsonConfig>());
  verb->allow_config_extras(CLI::config_extras_mode::error);
  verb->callback([this, run] { chosen_ = run; });
  return verb;
}

int Program::run(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  try {
    for (CLI::App* verb : root_.get_subcommands({})) {
      name_environment(*verb);
      for (CLI::App* inner : verb->get_subcommands({})) name_environment(*inner);
    }
    root_.parse(argc, argv);
    if (globals_.quiet) {
      set_progress_style(ProgressStyle::kNone);
      set_log_level(LogLevel::kError);
    }
    install_signal_handlers();
    return chosen_ ? chosen_() : static_cast<int>(ErrorCode::kUsage);
  } catch (const CLI::Success& success) {
    return root_.exit(success);
  } catch (const CLI::ParseError& error) {
    std::cerr << "fettle: " << one_line(error.what()) << " (fettle VERB --help)\n";
    return static_cast<int>(ErrorCode::kUsage);
  } catch (const Error& error) {
    std::cerr << "fettle: " << one_line(error.what()) << '\n';
    return static_cast<int>(error.code());
  } catch (const std::bad_alloc&) {
    std::cerr << "fettle: out of memory\n";
    return static_cast<int>(ErrorCode::kFailed);
  } catch (const std::exception& error) {
    std::cerr << "fettle: " << one_line(error.what()) << '\n';
    return static_cast<int>(ErrorCode::kFailed);
  }
}

void print(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    io_error("standard output", "cannot be written");
  }
}

void print_json(const Json& value) {
  print(value.dump(2) + "\n");
}

}  // namespace fettle::cli
