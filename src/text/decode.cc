// Ids back to text, as each decoder of Hugging Face's tokenizers does it.
#include <fmt/format.h>

#include "base/error.h"
#include "text/byte_level.h"
#include "text/tokenizer_impl.h"
#include "text/unicode.h"

namespace fettle {
namespace {

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  if (text.find(from) == text.npos) return;
  std::string out;
  size_t at = 0;
  for (size_t hit = text.find(from); hit != text.npos; hit = text.find(from, at)) {
    out.append(text, at, hit - at).append(to);
    at = hit + from.size();
  }
  text = out.append(text, at);
}

// Takes back the spaces that tokenization put before punctuation and English contractions.
void clean_up(std::string& text) {
  static constexpr std::pair<std::string_view, std::string_view> kRules[] = {
      {" .", "."},     {" ?", "?"},   {" !", "!"},   {" ,", ","},     {" ' ", "'"},
      {" n't", "n't"}, {" 'm", "'m"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : kRules) replace_all(text, from, to);
}

std::string decode_wordpiece(const std::vector<std::string_view>& pieces, const TokenizerSpec& spec) {
  std::string out;
  bool is_first = true;
  for (const std::string_view piece : pieces) {
    const bool continues = !is_first && piece.starts_with(spec.decoder_prefix);
    std::string token = is_first || continues ? std::string() : " ";
    token += continues ? piece.substr(spec.decoder_prefix.size()) : piece;
    if (spec.decoder_cleanup) clean_up(token);
    out += token;
    is_first = false;
  }
  return out;
}

// A piece with a character that is no byte's is taken as it stands.
std::string decode_byte_level(const std::vector<std::string_view>& pieces) {
  const ByteAlphabet& alphabet = ByteAlphabet::get();
  std::string bytes;
  for (const std::string_view piece : pieces) {
    const size_t before = bytes.size();
    const char* p = piece.data();
    const char* end = p + piece.size();
    while (p != end) {
      const unicode::DecodedChar next = unicode::decode_utf8(p, end);
      const int byte = alphabet.byte_of(next.code);
      if (byte < 0) {
        bytes.resize(before);
        bytes += piece;
        break;
      }
      bytes += static_cast<char>(byte);
      p += next.n_bytes;
    }
  }
  return unicode::replace_invalid_utf8(bytes);
}

// ▁ is a space, but for those of the first piece.
std::string decode_metaspace(const std::vector<std::string_view>& pieces, bool drops_first) {
  std::string out;
  for (size_t i = 0; i < pieces.size(); ++i) {
    std::string_view rest = pieces[i];
    for (size_t hit = rest.find(kSpaceText); hit != rest.npos; hit = rest.find(kSpaceText)) {
      out += rest.substr(0, hit);
      if (i > 0 || !drops_first) out += ' ';
      rest.remove_prefix(hit + kSpaceText.size());
    }
    out += rest;
  }
  return out;
}

}  // namespace

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  const TokenizerSpec& spec = impl_->spec;
  std::vector<std::string_view> pieces;
  for (const int32_t id : ids) {
    const std::string_view piece = this->piece(id);
    if (!piece.empty() && !(skip_special && is_special(id))) pieces.push_back(piece);
  }
  std::string out;
  switch (spec.decoder) {
    case DecoderKind::kNone:
      out = fmt::format("{}", fmt::join(pieces, " "));
      break;
    case DecoderKind::kWordPiece:
      out = decode_wordpiece(pieces, spec);
      break;
    case DecoderKind::kByteLevel:
      out = decode_byte_level(pieces);
      break;
    case DecoderKind::kMetaspace:
      out = decode_metaspace(pieces, spec.decoder_drops_first_space);
      break;
  }
  if (spec.clean_up_spaces) clean_up(out);
  return out;
}

}  // namespace fettle
