#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "byte_pairs.hpp"
#include "word_rules.hpp"

namespace examples {

/// The byte pairs of a tokenizer.json, as the library tokenizers writes them. Throws file_error,
/// which names it, for what is missing or wrong, and for what is no byte-level BPE, as the
/// tokenizers of Llama 1 and 2 are not; also for whatever else in it would change tokens and is not
/// followed here.
byte_pairs_vocabulary read_tokenizer_json(std::string_view text);

/// The same of two older files, vocab.json and merges.txt, which do not say how words are cut.
byte_pairs_vocabulary read_vocab_and_merges(std::string_view vocab_json,
                                            std::string_view merges_txt,
                                            const word_rules& rules = {});

/// Two tokens that are merged, written with a space between them. Throws file_error for other
/// texts.
std::pair<std::string, std::string> merge_of(std::string_view line);

}  // namespace examples
