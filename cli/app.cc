#include "cli/app.h"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <iostream>

#include "base/cancel.h"
#include "base/error.h"
#include "base/log.h"
#include "base/printable.h"
#include "base/progress.h"
#include "cli/config_file.h"

namespace fettle::cli {

namespace {

// Every flag can come from the environment: --max-length is FETTLE_MAX_LENGTH.
void name_environment(CLI::App& verb) {
  for (CLI::Option* option : verb.get_options()) {
    if (option->get_lnames().empty() || option->get_positional()) continue;
    std::string name = "FETTLE_" + option->get_lnames().front();
    if (name == "FETTLE_help") continue;
    for (char& c : name) c = c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    option->envname(name);
  }
}

std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

// As one would type it in a shell.
std::string quoted(const std::string& arg) {
  const std::string plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=./,:+@%";
  if (!arg.empty() && arg.find_first_not_of(plain) == std::string::npos) return arg;
  std::string text = "'";
  for (const char c : arg) text += c == '\'' ? "'\\''" : std::string(1, c);
  return text + "'";
}

int report(const std::string& error, ErrorCode code) {
  std::cerr << "fettle: " << one_line(error) << '\n';
  return static_cast<int>(code);
}

// The verb that the arguments name ("train", "tokenizer train"); null when they begin with an option.
CLI::App* chosen_verb(CLI::App& root, const std::vector<std::string>& args) {
  CLI::App* verb = nullptr;
  for (const std::string& name : args) {
    CLI::App& parent = verb == nullptr ? root : *verb;
    const std::vector<CLI::App*> verbs = parent.get_subcommands({});
    if (verbs.empty() || name.starts_with("-")) break;
    const auto found = std::find_if(verbs.begin(), verbs.end(), [&](CLI::App* v) { return v->get_name() == name; });
    if (found == verbs.end()) usage_error(printable(name), "is no verb", "fettle --help lists them");
    verb = *found;
  }
  return verb;
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
  verb->add_option("--seed", globals_.seed, "seed of all randomness (default 0)")
      ->check(CLI::Range(int64_t{0}, INT64_MAX));
  verb->add_flag("--force", globals_.force, "overwrite outputs");
  verb->add_flag("--json", globals_.json, "print one JSON object");
  verb->add_flag("--quiet", globals_.quiet, "no progress, no notes");
  verb->add_option("--isa", globals_.isa, "force a kernel table (fettle cpu lists them)");
  verb->add_option("--config", globals_.config, "read options from a JSON file");
  verb->callback([this, run] { chosen_ = run; });
  return verb;
}

void Program::parse(int argc, char** argv) {
  for (CLI::App* verb : root_.get_subcommands({})) {
    name_environment(*verb);
    for (CLI::App* inner : verb->get_subcommands({})) name_environment(*inner);
  }
  std::vector<std::string> args(argv + std::min(argc, 1), argv + argc);
  globals_.command = "fettle";
  for (const std::string& arg : args) globals_.command += " " + quoted(arg);
  if (args.empty()) usage_error("no verb", "one is needed", "fettle --help lists them; start with: fettle demo");
  if (CLI::App* verb = chosen_verb(root_, args)) args = with_config_file(*verb, std::move(args));
  std::reverse(args.begin(), args.end());
  root_.parse(std::move(args));
  if (globals_.quiet) {
    set_progress_style(ProgressStyle::kNone);
    set_log_level(LogLevel::kError);
  }
}

int Program::run(int argc, char** argv) {
  // A reader that has gone and a file that would grow too long are errors of the write, not ends of the process.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    parse(argc, argv);
    install_signal_handlers();
    return chosen_ ? chosen_() : static_cast<int>(ErrorCode::kUsage);
  } catch (const CLI::Success& success) {
    root_.exit(success);
    return std::cout.flush() ? 0 : report("standard output: cannot be written", ErrorCode::kIo);
  } catch (const CLI::ParseError& error) {
    return report(std::string(error.what()) + " (fettle VERB --help)", ErrorCode::kUsage);
  } catch (const Error& error) {
    return report(error.what(), error.code());
  } catch (const std::bad_alloc&) {
    return report("out of memory", ErrorCode::kFailed);
  } catch (const std::filesystem::filesystem_error& error) {
    return report(error.what(), ErrorCode::kIo);
  } catch (const std::exception& error) {
    return report(error.what(), ErrorCode::kFailed);
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
