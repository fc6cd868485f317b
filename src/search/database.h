// SQLite with errors of this project: what is not a database or is damaged is kBadInput, what the system refuses kIo.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace fettle {

class Database;

// A prepared statement. Values are bound from the left; step() is true for a row.
class Statement {
 public:
  Statement(Database& database, std::string_view sql);

  Statement& bind(int64_t value);
  Statement& bind(double value);
  Statement& bind(std::string_view text);
  bool step();

  int64_t integer(int column) const;
  double real(int column) const;
  std::string text(int column) const;
  bool is_null(int column) const;

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  Database& database_;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  int n_bound_ = 0;
};

// One connection to a file, for one thread at a time. Waits up to a minute for another process that is writing.
class Database {
 public:
  // Makes the file when it is not there.
  explicit Database(std::filesystem::path path);

  void run(std::string_view sql);  // statements without results
  int64_t integer(std::string_view sql);
  std::string text(std::string_view sql);
  // Rows that the last statement changed.
  int64_t n_changed() const;
  // Switches to the write-ahead log, so that readers do not wait for writers; goes without where the file system
  // cannot.
  void use_write_ahead_log();

  const std::string& path() const { return path_; }
  sqlite3* handle() const { return handle_.get(); }
  // Throws what SQLite's result code means.
  [[noreturn]] void fail(int code, std::string_view action) const;

 private:
  struct Close {
    void operator()(sqlite3* handle) const;
  };
  std::string path_;
  std::unique_ptr<sqlite3, Close> handle_;
};

// Reads and writes that others see at once or not at all. Nobody else writes meanwhile. Rolled back without commit().
class Transaction {
 public:
  explicit Transaction(Database& database);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit();

 private:
  Database& database_;
  bool is_open_ = true;
};

}  // namespace fettle
