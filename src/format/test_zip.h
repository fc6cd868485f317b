// Zip archives made by hand, honest or not, for tests.
#pragma once

#include <zlib.h>

#include <string>
#include <vector>

#include "format/test_files.h"

namespace fettle {

inline std::string raw_deflate(const std::string& text) {
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string packed(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

struct TestMember {
  std::string name, content;
  bool deflated = false;
};

// The parts of an archive of which tests change one before putting them together.
struct TestZip {
  std::vector<std::string> locals, entries;
  std::string comment, before_end;
  uint16_t n_entries = 0;

  static TestZip of(const std::vector<TestMember>& members) {
    TestZip zip;
    zip.n_entries = static_cast<uint16_t>(members.size());
    size_t begin = 0;
    for (const TestMember& member : members) {
      const std::string packed = member.deflated ? raw_deflate(member.content) : member.content;
      const auto sum =
          crc32(0, reinterpret_cast<const Bytef*>(member.content.data()), static_cast<uInt>(member.content.size()));
      const std::string common = little_endian(0, 2) + little_endian(member.deflated ? 8 : 0, 2) + little_endian(0, 4) +
                                 little_endian(sum, 4) + little_endian(packed.size(), 4) +
                                 little_endian(member.content.size(), 4) + little_endian(member.name.size(), 2) +
                                 little_endian(0, 2);
      zip.locals.push_back("PK\x03\x04" + little_endian(20, 2) + common + member.name + packed);
      zip.entries.push_back("PK\x01\x02" + little_endian(20, 2) + little_endian(20, 2) + common + little_endian(0, 2) +
                            little_endian(0, 2) + little_endian(0, 2) + little_endian(0, 4) + little_endian(begin, 4) +
                            member.name);
      begin += zip.locals.back().size();
    }
    return zip;
  }

  std::string bytes() const {
    std::string text, directory;
    for (const std::string& local : locals) text += local;
    for (const std::string& entry : entries) directory += entry;
    const std::string end = "PK\x05\x06" + little_endian(0, 4) + little_endian(n_entries, 2) +
                            little_endian(n_entries, 2) + little_endian(directory.size(), 4) +
                            little_endian(text.size(), 4) + little_endian(comment.size(), 2) + comment;
    return text + directory + before_end + end;
  }
};

}  // namespace fettle
