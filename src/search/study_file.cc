#include "search/study_file.h"

#include <chrono>
#include <cmath>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/log.h"
#include "base/printable.h"

namespace fettle {
namespace {

constexpr int64_t kApplicationId = 0x66657474;
constexpr int64_t kFormat = 1;
constexpr const char* kAnother = "name another file with --study, or remove this one";

struct Table {
  const char* name;
  const char* sql;
};

constexpr Table kTables[] = {
    {"intermediate",
     "CREATE TABLE intermediate (number INTEGER NOT NULL, step INTEGER NOT NULL, value REAL NOT NULL, "
     "PRIMARY KEY (number, step)) WITHOUT ROWID"},
    {"study", "CREATE TABLE study (format INTEGER NOT NULL, key TEXT NOT NULL, n_workers INTEGER NOT NULL)"},
    {"trial",
     "CREATE TABLE trial (number INTEGER PRIMARY KEY, state TEXT NOT NULL, parameters TEXT NOT NULL, "
     "results TEXT NOT NULL, prune_decided INTEGER NOT NULL, seconds REAL NOT NULL, detail TEXT NOT NULL, "
     "host TEXT NOT NULL, pid INTEGER NOT NULL, started INTEGER NOT NULL, serial INTEGER NOT NULL, "
     "beat INTEGER NOT NULL)"},
};

Json key_to_json(const StudyKey& key) {
  Json goals = Json::array();
  for (const Goal& o : key.goals) goals.push_back(o.name + (o.maximize ? " (max)" : " (min)"));
  Json json{{"space", space_to_json(key.space)}, {"objectives", goals}, {"seed", key.seed}};
  for (const auto& [name, value] : key.values.items()) json[name] = value;
  return json;
}

TrialState state_named(const std::string& name, const std::string& where) {
  for (TrialState state : {TrialState::kRunning, TrialState::kComplete, TrialState::kPruned, TrialState::kFailed}) {
    if (trial_state_name(state) == name) return state;
  }
  bad_input(where, "'" + printable(name) + "' is no state of a trial", kAnother);
}

std::vector<double> results_from_json(const std::string& text, const std::string& where) {
  const Json json = parse_json(text, where);
  if (!json.is_array()) bad_input(where, "the results are no list", kAnother);
  std::vector<double> results;
  for (const Json& value : json) {
    if (!value.is_number()) bad_input(where, "a result is no number", kAnother);
    results.push_back(value.get<double>());
  }
  return results;
}

}  // namespace

// Tells workers elsewhere that this one lives.
class StudyFile::Heart {
 public:
  Heart(const std::string& path, const Worker& me, double beat_s)
      : thread_([path, me, beat_s, this](const std::stop_token& stop) { beat(path, me, beat_s, stop); }) {}

 private:
  void beat(const std::string& path, const Worker& me, double beat_s, const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (!wake_.wait_for(lock, stop, std::chrono::duration<double>(beat_s), [&] { return stop.stop_requested(); })) {
      try {
        Database database(path);
        Statement(database,
                  "UPDATE trial SET beat = beat + 1 WHERE host = ? AND pid = ? AND started = ? AND serial = ?")
            .bind(me.host)
            .bind(me.pid)
            .bind(me.started)
            .bind(me.serial)
            .step();
      } catch (const std::exception& error) {
        log_warning(std::string("the study does not learn that its worker lives: ") + error.what());
      }
    }
  }

  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::jthread thread_;
};

TrialLost::TrialLost(const std::string& study, int64_t number)
    : Error(ErrorCode::kFailed, study, "trial " + std::to_string(number) + " was taken over by another process",
            "this one was silent for too long") {}

StudyFile::StudyFile(const std::filesystem::path& path, const StudyKey& key) : StudyFile(path, key, Options{}) {}

StudyFile::StudyFile(const std::filesystem::path& path, const StudyKey& key, const Options& options)
    : key_(key), options_(options), database_(path) {
  open();
}

StudyFile::~StudyFile() {
  heart_.reset();
  if (!claimed_) return;
  try {
    release(*claimed_);
  } catch (const std::exception&) {
    // The next one sees that this process is gone.
  }
}

void StudyFile::open() {
  // One transaction: another process may be making the study between two reads.
  database_.run("BEGIN");
  const int64_t id = database_.integer("PRAGMA application_id");
  const bool is_new = database_.integer("SELECT count(*) FROM sqlite_master") == 0;
  database_.run("COMMIT");
  if (is_new ? id != 0 && id != kApplicationId : id != kApplicationId) {
    bad_input(database_.path(), "is an SQLite file of another program", kAnother);
  }
  database_.use_write_ahead_log();
  database_.run("PRAGMA synchronous = FULL");
  Transaction transaction(database_);
  if (database_.integer("SELECT count(*) FROM sqlite_master") == 0) create();
  check_key();
  database_.run("UPDATE study SET n_workers = n_workers + 1");
  me_ = this_worker(database_.integer("SELECT n_workers FROM study"));
  transaction.commit();
}

void StudyFile::create() {
  database_.run("PRAGMA application_id = " + std::to_string(kApplicationId));
  for (const Table& table : kTables) database_.run(table.sql);
  Statement(database_, "INSERT INTO study VALUES (?, ?, 0)").bind(kFormat).bind(key_to_json(key_).dump()).step();
}

void StudyFile::check_key() const {
  const std::string& where = database_.path();
  Statement schema(database_, "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name");
  size_t n_tables = 0;
  for (; schema.step(); ++n_tables) {
    const bool known = n_tables < std::size(kTables) && schema.text(0) == kTables[n_tables].name &&
                       schema.text(1) == kTables[n_tables].sql;
    if (!known) bad_input(where, "is a study of another version, or none", kAnother);
  }
  if (n_tables != std::size(kTables)) bad_input(where, "is a study of another version, or none", kAnother);
  const std::string health = database_.text("PRAGMA quick_check(1)");
  if (health != "ok") bad_input(where, "is a damaged study: " + printable(health), kAnother);
  if (database_.integer("SELECT count(*) FROM study") != 1 ||
      database_.integer("SELECT format FROM study") != kFormat) {
    bad_input(where, "is a study of another version, or none", kAnother);
  }
  const Json stored = parse_json(database_.text("SELECT key FROM study"), where);
  const Json wanted = key_to_json(key_);
  if (!stored.is_object()) bad_input(where, "is a damaged study: it has no key", kAnother);
  for (const auto& [name, value] : wanted.items()) {
    const auto found = stored.find(name);
    if (found != stored.end() && *found == value) continue;
    const std::string before = found == stored.end() ? "absent" : printable(found->dump());
    bad_input(where,
              "the study was begun with another " + name + ": " + before + " then, " + printable(value.dump()) + " now",
              "go on with the same options, data and models, or name another file with --study");
  }
}

std::vector<StudyFile::Owned> StudyFile::read() const {
  std::vector<Owned> trials;
  Statement rows(
      database_,
      "SELECT number, state, parameters, results, prune_decided, seconds, detail, host, pid, started, serial, "
      "beat FROM trial ORDER BY number");
  while (rows.step()) {
    Owned owned;
    Trial& trial = owned.trial;
    trial.number = rows.integer(0);
    const std::string where = database_.path() + ": trial " + std::to_string(trial.number);
    if (trial.number != static_cast<int64_t>(trials.size())) bad_input(where, "is out of order", kAnother);
    trial.state = state_named(rows.text(1), where);
    trial.parameters = values_from_json(key_.space, parse_json(rows.text(2), where), where);
    trial.values = results_from_json(rows.text(3), where);
    if (trial.values.size() != (trial.state == TrialState::kComplete ? key_.goals.size() : 0)) {
      bad_input(where, "has another number of results than there are goals", kAnother);
    }
    trial.prune_decided = rows.integer(4) != 0;
    trial.seconds = rows.real(5);
    trial.detail = rows.text(6);
    owned.worker = {rows.text(7), rows.integer(8), rows.integer(9), rows.integer(10)};
    owned.beat = rows.integer(11);
    trials.push_back(std::move(owned));
  }
  read_intermediates(trials);
  return trials;
}

void StudyFile::read_intermediates(std::vector<Owned>& trials) const {
  Statement rows(database_, "SELECT number, step, value FROM intermediate ORDER BY number, step");
  while (rows.step()) {
    const int64_t number = rows.integer(0);
    if (number < 0 || number >= static_cast<int64_t>(trials.size())) {
      bad_input(database_.path(), "has values of a trial that is not there", kAnother);
    }
    trials[static_cast<size_t>(number)].trial.intermediates.push_back({rows.integer(1), rows.real(2)});
  }
}

std::vector<Trial> StudyFile::trials() const {
  database_.run("BEGIN");
  std::vector<Trial> trials;
  try {
    for (Owned& owned : read()) trials.push_back(std::move(owned.trial));
  } catch (...) {
    database_.run("ROLLBACK");
    throw;
  }
  database_.run("COMMIT");
  return trials;
}

// Its worker gave it back, died, or has not stirred for long.
bool StudyFile::is_abandoned(const Owned& owned) {
  if (owned.worker.host.empty()) return true;
  switch (liveness(owned.worker, me_)) {
    case Liveness::kAlive:
      return false;
    case Liveness::kDead:
      return true;
    case Liveness::kUnknown:
      break;
  }
  const auto [place, is_new] = watched_.try_emplace(owned.trial.number, Watched{owned.beat, {}});
  Watched& watched = place->second;
  if (is_new) {
    log_info("trial " + std::to_string(owned.trial.number) +
             " belongs to a worker elsewhere; it is taken over if that does not stir for " +
             std::to_string(static_cast<int64_t>(options_.silence_s)) + " s");
  }
  if (watched.beat != owned.beat) watched = {owned.beat, {}};
  return watched.since.seconds() >= options_.silence_s;
}

void StudyFile::take(int64_t number) {
  Statement(database_, "UPDATE trial SET host = ?, pid = ?, started = ?, serial = ?, beat = beat + 1 WHERE number = ?")
      .bind(me_.host)
      .bind(me_.pid)
      .bind(me_.started)
      .bind(me_.serial)
      .bind(number)
      .step();
}

StudyFile::Claim StudyFile::claim(int64_t n_trials, Propose propose) {
  if (claimed_) failed("study", "trial " + std::to_string(*claimed_) + " is not finished yet");
  Transaction transaction(database_);
  std::vector<Trial> trials;
  bool others_work = false;
  for (Owned& owned : read()) {
    if (owned.trial.state == TrialState::kRunning) {
      if (is_abandoned(owned)) {
        take(owned.trial.number);
        transaction.commit();
        claimed_ = owned.trial.number;
        heart_ = std::make_unique<Heart>(database_.path(), me_, options_.beat_s);
        return {Claim::Kind::kTrial, std::move(owned.trial), true};
      }
      others_work = true;
    }
    trials.push_back(std::move(owned.trial));
  }
  const auto number = static_cast<int64_t>(trials.size());
  if (number >= n_trials) return {others_work ? Claim::Kind::kWait : Claim::Kind::kDone, {}, false};
  Trial trial;
  trial.number = number;
  trial.parameters = propose(number, trials);
  Statement(database_, "INSERT INTO trial VALUES (?, 'running', ?, '[]', 0, 0, '', '', 0, 0, 0, 0)")
      .bind(number)
      .bind(values_to_json(key_.space, trial.parameters).dump())
      .step();
  take(number);
  transaction.commit();
  claimed_ = number;
  heart_ = std::make_unique<Heart>(database_.path(), me_, options_.beat_s);
  return {Claim::Kind::kTrial, std::move(trial), false};
}

void StudyFile::require_owner(int64_t number) {
  Statement row(database_, "SELECT host, pid, started, serial, state FROM trial WHERE number = ?");
  row.bind(number);
  const bool is_mine = row.step() && row.text(4) == trial_state_name(TrialState::kRunning) &&
                       Worker{row.text(0), row.integer(1), row.integer(2), row.integer(3)} == me_;
  if (is_mine) return;
  claimed_.reset();
  heart_.reset();
  throw TrialLost(database_.path(), number);
}

bool StudyFile::report(int64_t number, const Intermediate& value, Decide should_prune) {
  if (!std::isfinite(value.value)) return true;
  Transaction transaction(database_);
  require_owner(number);
  Statement(database_, "DELETE FROM intermediate WHERE number = ? AND step >= ?").bind(number).bind(value.step).step();
  Statement(database_, "INSERT INTO intermediate VALUES (?, ?, ?)")
      .bind(number)
      .bind(value.step)
      .bind(value.value)
      .step();
  std::vector<Trial> trials;
  for (Owned& owned : read()) trials.push_back(std::move(owned.trial));
  const Trial& trial = trials[static_cast<size_t>(number)];
  const bool prune = should_prune(trial, trials);
  Statement(database_, "UPDATE trial SET prune_decided = ?, beat = beat + 1 WHERE number = ?")
      .bind(static_cast<int64_t>(prune))
      .bind(number)
      .step();
  transaction.commit();
  return prune;
}

void StudyFile::finish(const Trial& trial) {
  Transaction transaction(database_);
  require_owner(trial.number);
  Statement(database_,
            "UPDATE trial SET state = ?, results = ?, seconds = ?, detail = ?, host = '', pid = 0, started = 0, "
            "serial = 0 WHERE number = ?")
      .bind(trial_state_name(trial.state))
      .bind(trial.state == TrialState::kComplete ? Json(trial.values).dump() : "[]")
      .bind(trial.seconds)
      .bind(trial.detail)
      .bind(trial.number)
      .step();
  transaction.commit();
  claimed_.reset();
  heart_.reset();
}

void StudyFile::release(int64_t number) {
  claimed_.reset();
  heart_.reset();
  Transaction transaction(database_);
  Statement(database_,
            "UPDATE trial SET host = '', pid = 0, started = 0, serial = 0 WHERE number = ? AND state = 'running' AND "
            "host = ? AND pid = ? AND started = ? AND serial = ?")
      .bind(number)
      .bind(me_.host)
      .bind(me_.pid)
      .bind(me_.started)
      .bind(me_.serial)
      .step();
  transaction.commit();
}

}  // namespace fettle
