// fettle run-recipe: an exact list of steps, one behind the other.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "base/cancel.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/sha256.h"
#include "cli/app.h"
#include "cli/recipe.h"
#include "cli/verbs.h"
#include "format/tensor_store.h"
#include "model/manifest.h"

namespace fettle::cli {

namespace {

struct RecipeCommand {
  std::string model;
  std::string recipe;
  std::string out;
  std::string data;
  std::string eval;
  bool keep_steps = false;
};

// Standard output goes to a file while this lives.
class OutputInFile {
 public:
  explicit OutputInFile(const std::filesystem::path& path) {
    std::fflush(stdout);
    saved_ = ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (saved_ < 0 || file < 0) io_error(path.string(), "cannot be written");
    ::dup2(file, STDOUT_FILENO);
    ::close(file);
  }
  ~OutputInFile() {
    std::fflush(stdout);
    ::dup2(saved_, STDOUT_FILENO);
    ::close(saved_);
  }
  OutputInFile(const OutputInFile&) = delete;
  OutputInFile& operator=(const OutputInFile&) = delete;

 private:
  int saved_ = -1;
};

std::string digest_of(const std::string& text) {
  return sha256_hex(std::as_bytes(std::span(text)));
}

std::string digest_of_weights(const std::string& model) {
  std::string all;
  const TensorStore store = TensorStore::open(encoder_folder(model));
  for (const std::filesystem::path& file : store.files()) all += sha256_file(file);
  return digest_of(all);
}

// Files that options name (data sets, configs) count with what is in them.
std::string digest_of_files(const std::vector<std::string>& args) {
  std::string all;
  for (const std::string& arg : args) {
    const size_t equals = arg.find('=');
    if (equals == std::string::npos) continue;
    const std::filesystem::path path = arg.substr(equals + 1, arg.rfind('#') - equals - 1);
    std::error_code ignored;
    if (std::filesystem::is_regular_file(path, ignored)) all += sha256_file(path);
  }
  return all;
}

class RecipeRun {
 public:
  RecipeRun(const RecipeCommand& command, const Globals& globals)
      : command_(command),
        globals_(globals),
        model_(resolve_model(command.model)),
        work_(beside(command.out, ".steps")),
        recipe_(parse_recipe(read_json(command.recipe), command.recipe)) {}

  Json run() {
    // Every step's options are looked at before the first one runs.
    for (const RecipeStep& step : recipe_.steps) arguments(step, {model_, model_, model_, "nowhere"}, false);
    std::filesystem::create_directories(work_);
    std::string parent = model_;
    std::string previous = model_;
    std::string key = digest_of_weights(model_);
    Json steps = Json::array();
    for (size_t i = 0; i < recipe_.steps.size(); ++i) {
      throw_if_cancelled();
      const bool is_last = i + 1 == recipe_.steps.size();
      const std::string made = (work_ / fmt::format("step-{}", i + 1)).string();
      const RecipePlaces places{model_, parent, previous, is_last ? command_.out : made};
      const std::vector<std::string> args = arguments(recipe_.steps[i], places, true);
      key = digest_of(key + recipe_.steps[i].verb + recipe_.steps[i].from + recipe_.steps[i].options.dump() +
                      command_.data + command_.eval + digest_of_files(args) + std::to_string(globals_.seed) +
                      FETTLE_VERSION);
      steps.push_back(is_last ? run_step(args, made) : finished_step(args, made, key));
      write_marks(recipe_.steps[i], places);
      steps.back()["verb"] = recipe_.steps[i].verb;
      parent = recipe_.steps[i].from == "model" ? model_ : recipe_.steps[i].from == "parent" ? parent : previous;
      previous = made;
    }
    if (!command_.keep_steps) std::filesystem::remove_all(work_);
    return steps;
  }

 private:
  // With what all steps share, where their verbs take it and they do not say it themselves.
  std::vector<std::string> arguments(const RecipeStep& given, const RecipePlaces& places, bool tells) const {
    Program program;
    add_all_verbs(program);
    CLI::App* verb = program.root().get_subcommand(given.verb);
    const auto has_option = [&](const std::string& flag) { return verb->get_option_no_throw(flag) != nullptr; };
    RecipeStep step = given;
    const auto set = [&](const char* key, const Json& value) {
      if (!step.options.contains(key) && has_option(std::string("--") + key)) step.options[key] = value;
    };
    const std::string data_option = data_option_of(step);
    if (!command_.data.empty() && !data_option.empty()) set(data_option.c_str(), command_.data);
    if (!command_.eval.empty()) set("eval", command_.eval);
    set("seed", globals_.seed);
    if (globals_.threads > 0) set("threads", globals_.threads);
    if (!globals_.isa.empty()) set("isa", globals_.isa);
    std::vector<std::string> ignored;
    std::vector<std::string> args = step_arguments(step, places, recipe_.is_manifest, has_option, ignored);
    if (tells && !ignored.empty()) {
      std::string list;
      for (const std::string& key : ignored) list += (list.empty() ? "" : ", ") + key;
      log_info(given.verb + ": no flag sets " + list);
    }
    return args;
  }

  // In the manifest the marks stand in place of folders that are gone later, so that it is a recipe itself.
  static void write_marks(const RecipeStep& step, const RecipePlaces& places) {
    const std::filesystem::path path = std::filesystem::path(places.out) / kManifestFile;
    Json manifest = read_json(path);
    Json& last = manifest["steps"].back();
    for (auto& [key, value] : last["options"].items()) {
      if (value == places.previous) {
        value = "{previous}";
      } else if (value == places.parent) {
        value = "{parent}";
      } else if (value == places.model) {
        value = "{model}";
      }
    }
    if (step.from != "previous") last["from"] = step.from;
    write_json(path, manifest);
  }

  // From the work folder when it was made there before.
  Json finished_step(const std::vector<std::string>& args, const std::string& made, const std::string& key) const {
    const std::string record = made + ".json";
    std::error_code ignored;
    if (std::filesystem::exists(std::filesystem::path(made) / "config.json", ignored) &&
        std::filesystem::exists(record, ignored)) {
      const Json before = read_json(record);
      if (before.value("key", "") == key) {
        log_info("taking the finished step " + made);
        return before["result"];
      }
    }
    std::filesystem::remove_all(made);
    Json result = run_step(args, made);
    write_json(record, Json{{"key", key}, {"result", result}});
    return result;
  }

  // `made` names the file that holds the step's output meanwhile.
  Json run_step(std::vector<std::string> args, const std::string& made) const {
    log_info("step: fettle " + fmt::format("{}", fmt::join(args, " ")));
    if (globals_.quiet) args.emplace_back("--quiet");
    if (globals_.force) args.emplace_back("--force");
    args.emplace_back("--json");
    args.insert(args.begin(), "fettle");
    std::vector<char*> argv;
    for (std::string& arg : args) argv.push_back(arg.data());
    const std::string output = made + ".out";
    int code = 0;
    {
      const OutputInFile redirected(output);
      Program program;
      add_all_verbs(program);
      code = program.run(static_cast<int>(argv.size()), argv.data());
    }
    // It has said why.
    if (code != 0) throw StepFailed{code};
    Json result = read_json(output);
    std::filesystem::remove(output);
    return result;
  }

 public:
  struct StepFailed {
    int code;
  };

 private:
  const RecipeCommand& command_;
  const Globals& globals_;
  std::string model_;
  std::filesystem::path work_;
  Recipe recipe_;
};

int run_recipe(const RecipeCommand& command, const Globals& globals) {
  refuse_existing(command.out, globals);
  Json steps;
  try {
    steps = RecipeRun(command, globals).run();
  } catch (const RecipeRun::StepFailed& failed) {
    return failed.code;
  }
  const double size_mb_before = weights_mb(command.model);
  const double size_mb = weights_mb(command.out);
  if (globals.json) {
    print_json(Json{
        {"steps", std::move(steps)}, {"size_mb_before", size_mb_before}, {"size_mb", size_mb}, {"path", command.out}});
    return 0;
  }
  std::string text;
  for (const Json& step : steps) {
    text += fmt::format("{:<10}", step["verb"].get<std::string>());
    if (step.contains("size_mb")) text += fmt::format("{:>10.2f} MiB", step["size_mb"].get<double>());
    if (step.contains("accuracy") && step["accuracy"].is_number()) {
      text += fmt::format("  accuracy {:.4f}", step["accuracy"].get<double>());
    }
    text += "\n";
  }
  print(text + fmt::format("{:.2f} -> {:.2f} MiB; wrote {}\n", size_mb_before, size_mb, command.out));
  return 0;
}

}  // namespace

void add_run_recipe(Program& program) {
  auto command = std::make_shared<RecipeCommand>();
  CLI::App* verb = program.add_verb("run-recipe", "replay a list of steps: distil, prune, factorize, quantize",
                                    [command, &program] { return run_recipe(*command, program.globals()); });
  verb->add_option("model", command->model, "model folder to start from")->required();
  verb->add_option("--recipe", command->recipe, "JSON file with \"steps\", or the fettle.json of a model")->required();
  verb->add_option("--out", command->out, "folder to write")->required();
  verb->add_option("--data", command->data, "for the steps that take --data and name none");
  verb->add_option("--eval", command->eval, "for the steps that take --eval and name none");
  verb->add_flag("--keep-steps", command->keep_steps, "keep the models of the steps, in OUT.steps");
}

}  // namespace fettle::cli
