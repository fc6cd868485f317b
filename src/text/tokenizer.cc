#include "text/tokenizer.h"

#include <fmt/format.h>

#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "text/tokenizer_impl.h"

namespace fettle {
namespace {

int32_t checked(int32_t id, int n_ids) {
  if (id < 0 || id >= n_ids) usage_error("token id", fmt::format("{} is not in [0, {})", id, n_ids));
  return id;
}

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;

std::shared_ptr<const Tokenizer> Tokenizer::load(const std::filesystem::path& folder) {
  return std::shared_ptr<const Tokenizer>(new Tokenizer(std::make_unique<const Impl>(read_tokenizer_folder(folder))));
}

bool Tokenizer::is_in(const std::filesystem::path& folder) {
  return has_tokenizer(folder);
}

std::shared_ptr<const Tokenizer> Tokenizer::from_vocab(std::vector<std::string> pieces, WordPieceOptions options) {
  TokenizerSpec spec = spec_from_pieces(std::move(pieces), std::move(options), "vocabulary");
  return std::shared_ptr<const Tokenizer>(new Tokenizer(std::make_unique<const Impl>(std::move(spec))));
}

std::shared_ptr<const Tokenizer> Tokenizer::from_json(std::string json, const std::string& where) {
  TokenizerSpec spec = parse_tokenizer_json(json, where);
  spec.tokenizer_json = std::move(json);
  return std::shared_ptr<const Tokenizer>(new Tokenizer(std::make_unique<const Impl>(std::move(spec))));
}

int Tokenizer::vocab_size() const {
  return static_cast<int>(impl_->special.size());
}
int32_t Tokenizer::unk_id() const {
  return impl_->model->unk_id();
}
std::optional<int32_t> Tokenizer::pad_id() const {
  return impl_->pad_id;
}
std::optional<int32_t> Tokenizer::cls_id() const {
  return impl_->cls_id;
}
std::optional<int32_t> Tokenizer::sep_id() const {
  return impl_->sep_id;
}
std::optional<int32_t> Tokenizer::mask_id() const {
  return impl_->mask_id;
}
int Tokenizer::n_special_single() const {
  return impl_->n_special_single;
}
int Tokenizer::n_special_pair() const {
  return impl_->n_special_pair;
}
std::optional<int> Tokenizer::model_max_length() const {
  return impl_->spec.options.model_max_length;
}
const WordPieceOptions& Tokenizer::options() const {
  return impl_->spec.options;
}

bool Tokenizer::is_special(int32_t id) const {
  return id >= 0 && id < vocab_size() && impl_->special[static_cast<size_t>(id)];
}

std::string_view Tokenizer::piece(int32_t id) const {
  return impl_->piece(checked(id, vocab_size()));
}
std::optional<int32_t> Tokenizer::find(std::string_view piece) const {
  return impl_->find(piece);
}

void Tokenizer::save(const std::filesystem::path& folder) const {
  TokenizerSpec spec = impl_->spec;
  impl_->model->give_back(spec);
  std::set<std::string> written;
  const auto write = [&](const char* name, std::string_view text) {
    if (written.insert(name).second) write_file(folder / name, text);
  };
  const auto text_of = [](const Json& value) { return value.dump(2) + "\n"; };
  for (const KeptFile& kept : spec.kept) {
    const std::span<const std::byte> bytes = kept.file->bytes();
    write(kept.name.c_str(), {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
  switch (spec.kind) {
    case PieceModelKind::kWordPiece:
      write("vocab.txt", make_vocab_txt(spec));
      break;
    case PieceModelKind::kBytePair:
      write("vocab.json", make_vocab_json(spec));
      write("merges.txt", make_merges_txt(spec));
      break;
    case PieceModelKind::kUnigram:
      break;
  }
  if (!spec.tokenizer_json.empty()) write("tokenizer.json", spec.tokenizer_json);
  // SentencePiece's own file says it all.
  if (spec.kind != PieceModelKind::kUnigram) write("tokenizer.json", make_tokenizer_json(spec));
  write("tokenizer_config.json",
        spec.tokenizer_config.empty() ? text_of(make_tokenizer_config(spec)) : spec.tokenizer_config);
  write("special_tokens_map.json",
        spec.special_tokens_map.empty() ? text_of(make_special_tokens_map(spec)) : spec.special_tokens_map);
}

}  // namespace fettle
