// A study on disk: its trials in an SQLite file that several processes share and that outlives any of them.
//
//   study (one row)   format, key (JSON: what all trials have in common), n_workers (that ever opened it)
//   trial             number, state (running, complete, pruned, failed), parameters (JSON object), results (JSON list,
//   one
//                     number for each goal), prune_decided (0 or 1), seconds, detail (why it failed), and who works on
//                     it: host, pid, started, serial, beat (goes up while its process lives)
//   intermediate      number, step, value
//
// PRAGMA application_id is 0x66657474 ("fett"). Every change is one transaction. The write-ahead log lies beside the
// file while it is in use (-wal, -shm); it needs a file system of this machine, or one with POSIX locks and shared
// memory.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/function_ref.h"
#include "base/json.h"
#include "search/database.h"
#include "search/trial.h"
#include "search/worker.h"

namespace fettle {

// What the trials of a study have in common: a later process must agree.
struct StudyKey {
  Space space;
  std::vector<Goal> goals;
  uint64_t seed = 0;
  Json values = Json::object();  // everything else that a trial's result depends on, one flat object
};

// Thrown when a trial was given to another process meanwhile, because this one was silent for too long (kFailed).
class TrialLost : public Error {
 public:
  TrialLost(const std::string& study, int64_t number);
};

class StudyFile {
 public:
  struct Options {
    double silence_s = 120;  // a worker elsewhere that did not stir for so long is gone
    double beat_s = 20;
  };

  // Makes the file, or joins the study in it. kBadInput when it is something else or damaged, or when its key is
  // another (naming the first value that differs, then and now); kIo when it cannot be read or written.
  StudyFile(const std::filesystem::path& path, const StudyKey& key);
  StudyFile(const std::filesystem::path& path, const StudyKey& key, const Options& options);
  // Gives a trial that is not finished back.
  ~StudyFile();
  StudyFile(const StudyFile&) = delete;
  StudyFile& operator=(const StudyFile&) = delete;

  const StudyKey& key() const { return key_; }
  // All of them, by number.
  std::vector<Trial> trials() const;

  struct Claim {
    enum class Kind : uint8_t { kTrial, kWait, kDone };
    Kind kind = Kind::kDone;
    Trial trial;
    bool was_begun = false;  // by a process that is gone
  };
  using Propose = FunctionRef<ParameterValues(int64_t number, const std::vector<Trial>& trials)>;
  // The next trial to work on: the first that its process left unfinished, with the same number and parameters, or a
  // new one while there are fewer than `n_trials`. kWait: all are begun, but others still work. kDone: all are
  // finished. `propose` runs while nobody else may write.
  Claim claim(int64_t n_trials, Propose propose);

  using Decide = FunctionRef<bool(const Trial& trial, const std::vector<Trial>& trials)>;
  // Adds an intermediate value of the claimed trial, forgetting what it reported from that step on before, and decides
  // by all trials whether it should end (Trial::prune_decided keeps that). TrialLost.
  bool report(int64_t number, const Intermediate& value, Decide should_prune);
  // The claimed trial's end; its state is not kRunning and its values are finite. TrialLost.
  void finish(const Trial& trial);
  // Gives the claimed trial back unfinished, to whoever comes next.
  void release(int64_t number);

 private:
  class Heart;
  struct Watched {
    int64_t beat = 0;
    Stopwatch since;
  };
  struct Owned {
    Trial trial;
    Worker worker;
    int64_t beat = 0;
  };

  void open();
  void create();
  void check_key() const;
  std::vector<Owned> read() const;
  void read_intermediates(std::vector<Owned>& trials) const;
  bool is_abandoned(const Owned& owned);
  void take(int64_t number);
  void require_owner(int64_t number);

  StudyKey key_;
  Options options_;
  mutable Database database_;
  Worker me_;
  std::map<int64_t, Watched> watched_;  // trials of workers elsewhere
  std::optional<int64_t> claimed_;
  std::unique_ptr<Heart> heart_;
};

}  // namespace fettle
