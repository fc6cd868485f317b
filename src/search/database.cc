#include "search/database.h"

#include <sqlite3.h>

#include <chrono>
#include <thread>

#include "base/error.h"

namespace fettle {
namespace {

constexpr int kBusyTimeoutMs = 60000;
constexpr int kLogRetries = 100;

std::string message_of(sqlite3* handle, int code) {
  return handle != nullptr ? sqlite3_errmsg(handle) : sqlite3_errstr(code);
}

}  // namespace

void Statement::Finalize::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

Statement::Statement(Database& database, std::string_view sql) : database_(database) {
  sqlite3_stmt* prepared = nullptr;
  const int code = sqlite3_prepare_v2(database.handle(), sql.data(), static_cast<int>(sql.size()), &prepared, nullptr);
  statement_.reset(prepared);
  if (code != SQLITE_OK) database.fail(code, "cannot be read as a study");
}

Statement& Statement::bind(int64_t value) {
  const int code = sqlite3_bind_int64(statement_.get(), ++n_bound_, value);
  if (code != SQLITE_OK) database_.fail(code, "cannot be written");
  return *this;
}

Statement& Statement::bind(double value) {
  const int code = sqlite3_bind_double(statement_.get(), ++n_bound_, value);
  if (code != SQLITE_OK) database_.fail(code, "cannot be written");
  return *this;
}

Statement& Statement::bind(std::string_view text) {
  const int code =
      sqlite3_bind_text(statement_.get(), ++n_bound_, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT);
  if (code != SQLITE_OK) database_.fail(code, "cannot be written");
  return *this;
}

bool Statement::step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  database_.fail(code, "cannot be read or written");
}

int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

double Statement::real(int column) const {
  return sqlite3_column_double(statement_.get(), column);
}

std::string Statement::text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  if (text == nullptr) return "";
  return {text, static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

bool Statement::is_null(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

void Database::Close::operator()(sqlite3* handle) const {
  sqlite3_close_v2(handle);
}

Database::Database(std::filesystem::path path) : path_(path.string()) {
  sqlite3* opened = nullptr;
  const int code = sqlite3_open_v2(path_.c_str(), &opened, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
  handle_.reset(opened);
  if (code != SQLITE_OK) fail(code, "cannot be opened");
  sqlite3_extended_result_codes(opened, 0);
  sqlite3_busy_timeout(opened, kBusyTimeoutMs);
  // The file may come from elsewhere: nothing in its schema is run.
  sqlite3_db_config(opened, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(opened, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(opened, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
  sqlite3_db_config(opened, SQLITE_DBCONFIG_ENABLE_VIEW, 0, nullptr);
}

void Database::run(std::string_view sql) {
  Statement statement(*this, sql);
  while (statement.step()) {
  }
}

int64_t Database::integer(std::string_view sql) {
  Statement statement(*this, sql);
  return statement.step() ? statement.integer(0) : 0;
}

std::string Database::text(std::string_view sql) {
  Statement statement(*this, sql);
  return statement.step() ? statement.text(0) : "";
}

int64_t Database::n_changed() const {
  return sqlite3_changes64(handle_.get());
}

void Database::use_write_ahead_log() {
  // SQLite does not wait here when another process switches at the same moment.
  for (int i = 0; i < kLogRetries; ++i) {
    const int code = sqlite3_exec(handle_.get(), "PRAGMA journal_mode = WAL", nullptr, nullptr, nullptr);
    if (code == SQLITE_OK) return;
    if (code != SQLITE_BUSY) fail(code, "cannot be written");
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

void Database::fail(int code, std::string_view action) const {
  const std::string message = message_of(handle_.get(), code);
  switch (code & 0xff) {
    case SQLITE_NOTADB:
      bad_input(path_, "is not a study: it is no SQLite file", "name another file with --study");
    case SQLITE_CORRUPT:
    case SQLITE_ERROR:
    case SQLITE_MISMATCH:
    case SQLITE_CONSTRAINT:
    case SQLITE_SCHEMA:
      bad_input(path_, "is a damaged study: " + message, "name another file with --study");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      io_error(path_, "is locked by another process for more than a minute");
    default:
      io_error(path_, std::string(action) + ": " + message);
  }
}

Transaction::Transaction(Database& database) : database_(database) {
  database_.run("BEGIN IMMEDIATE");
}

Transaction::~Transaction() {
  if (!is_open_) return;
  sqlite3_exec(database_.handle(), "ROLLBACK", nullptr, nullptr, nullptr);
}

void Transaction::commit() {
  database_.run("COMMIT");
  is_open_ = false;
}

}  // namespace fettle
