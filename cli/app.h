// What every verb shares: the options of all verbs, and how a verb is added to the program.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "data/dataset.h"
#include "evaluate/machine_limits.h"
#include "runtime/session_group.h"
#include "train/trainer.h"

namespace fettle::cli {

// Options that every verb takes.
struct Globals {
  int threads = 0;
  uint64_t seed = 0;
  bool force = false;
  bool json = false;
  bool quiet = false;
  std::string isa;
  std::string config;
  std::string command;  // as typed, for reports

  SessionOptions session() const;
};

// A verb's work, run after parsing; returns the exit code.
using Run = std::function<int()>;

// Adds a verb with the options of all verbs. `run` is called when the verb was chosen.
class Program {
 public:
  Program();
  CLI::App& root() { return root_; }
  Globals& globals() { return globals_; }
  // `parent` is null for a verb of the program, or the verb that `name` is a verb of ("tokenizer train").
  CLI::App* add_verb(const std::string& name, const std::string& help, Run run, CLI::App* parent = nullptr);
  int run(int argc, char** argv);

 private:
  void parse(int argc, char** argv);

  CLI::App root_;
  Globals globals_;
  Run chosen_;
};

// Groups of options that several verbs take.
struct DataFlags {
  DataOptions options;
  std::string label_order = "sorted";
  void add_to(CLI::App& verb);
  DataOptions resolve(LabelKind kind = LabelKind::kOne) const;  // with label_order applied
  DataOptions unlabelled() const;                               // for texts whose labels do not count
};
// Texts to work on: arguments, a data file, or else the lines of standard input.
struct TextFlags {
  std::vector<std::string> texts;
  std::vector<std::string> pairs;  // second texts: as many as texts, or one for all
  std::string data;
  DataFlags data_flags;
  void add_to(CLI::App& verb);
  // kUsage when there are both.
  void check(const char* verb) const;
  // `labelled`: the labels of a data file count, as labels of that kind. kBadInput when there is no text or one is not
  // UTF-8.
  Dataset read(bool labelled, LabelKind kind = LabelKind::kOne) const;
  void add_pair_to(CLI::App& verb);
};
// Texts that only a teacher labels.
struct UnlabelledFlags {
  std::vector<std::string> files;
  int64_t max = 0;
  void add_to(CLI::App& verb);
  Dataset load(const DataFlags& data) const;  // each text once, none of them empty
};
// The threshold below which a score means out of scope.
struct ThresholdFlags {
  bool fit = false;
  double oos_share = std::numeric_limits<double>::quiet_NaN();  // as in the validation data
  void add_to(CLI::App& verb);
  void add_share_to(CLI::App& verb);
  // Sets model.oos_threshold when it was asked for.
  void apply(Model& model, const Dataset& validation, const Globals& globals) const;
};
struct TrainFlags {
  TrainOptions options;
  std::string schedule = "linear";
  std::string precision = "bf16";
  std::string class_weights;
  std::string tensorboard;
  bool no_divergence_check = false;
  std::string checkpoints;
  void add_to(CLI::App& verb);
  TrainOptions resolve(const Globals& globals) const;
};

// Checkpoints stand beside the output folder unless the user names a folder.
inline constexpr const char* kCheckpointSuffix = ".checkpoints";
// Removes the folder beside `out`, but never one that the user named.
void remove_checkpoints(const TrainFlags& flags, const std::string& out);

// What this machine can do, for the session's table and threads: remembered in fettle's cache folder (XDG_CACHE_HOME or
// ~/.cache), measured when it is not there or `anew`.
MachineLimits limits_of(const Globals& globals, bool anew = false);
LimitsCache limits_cache();
// The user's cache folder by the XDG base directory specification; empty when there is no home.
std::filesystem::path user_cache_folder();

// --regime: how several cores share the work; absent is chosen by measurement.
struct RegimeFlag {
  std::string name = "auto";
  void add_to(CLI::App& verb);
  std::optional<Regime> regime() const;
};
// --packed-cache: weights packed for the processor are kept in the model's folder.
struct PackedCacheFlag {
  bool is_on = false;
  void add_to(CLI::App& verb);
};
// One line on standard error, when both regimes were measured.
void report_regime(const RegimeChoice& choice, int n_threads);

// Prints one JSON object (standard output).
void print_json(const Json& value);
void print(const std::string& text);
Json to_json(const TrainResult& result);
// Errors that writing the folder `out` would meet, said before the work: kUsage when it exists and --force was not
// given, kIo when its parent folder cannot take it.
void refuse_existing(const std::string& out, const Globals& globals);
// A folder beside the output folder: "model" or "model/" gives "model" + suffix.
std::string beside(const std::string& out, const std::string& suffix);
// Text of a user or a file for one line of a terminal: control characters and stray bytes as \xNN.
std::string shown_text(std::string_view text);
// "5 epochs, 1,575 steps, 12.3 s, 6,120 samples/s; accuracy 0.941" and a line an epoch.
std::string training_summary(const TrainResult& result);
// Keeps `n` examples, evenly spaced.
void thin_out(Dataset& data, int64_t n);
std::shared_ptr<const Model> load_shared(const std::string& model);
// The folder that a MODEL argument names: "builtin:encoder" is the encoder that comes with fettle.
std::string resolve_model(const std::string& model);
// The size on disk of the weights of a model folder, MiB.
double weights_mb(const std::string& model);

void add_predict(Program& program);
void add_train(Program& program);
void add_distill(Program& program);
void add_prune(Program& program);
void add_factorize(Program& program);
void add_quantize(Program& program);
void add_bench(Program& program);
void add_compare(Program& program);
void add_compress(Program& program);
void add_demo(Program& program);
void add_inspect(Program& program);
void add_tokenize(Program& program);
void add_cpu(Program& program);
void add_profile(Program& program);
void add_eval(Program& program);
void add_embed(Program& program);

}  // namespace fettle::cli
