#include "tokenizer_json.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "file_error.hpp"
#include "json_file.hpp"

namespace examples {

namespace {

/// Some files leave numbers out; memory must not grow beyond what the file's size pays for.
constexpr std::size_t most_left_out = 1 << 16;

/// `entries` is how many tokens the file lists.
void place(byte_pairs_vocabulary& to, const std::string& text, std::int64_t number,
           std::size_t entries) {
    if (number < 0 || number >= std::int64_t(entries + most_left_out))
        throw file_error("token \"" + text + "\" has the number " + std::to_string(number) +
                         ", but there are " + std::to_string(entries));
    const auto at = static_cast<std::size_t>(number);
    if (at >= to.tokens.size()) to.tokens.resize(at + 1);
    if (!to.tokens[at].empty() && to.tokens[at] != text)
        throw file_error("token " + std::to_string(number) + " is both \"" + to.tokens[at] +
                         "\" and \"" + text + "\"");
    to.tokens[at] = text;
}

void read_vocabulary(byte_pairs_vocabulary& to, const json& vocabulary) {
    if (!vocabulary.is_object()) throw file_error("has no object of tokens, vocab");
    for (const auto& [text, number] : vocabulary.items())
        place(to, text, value_of<std::int64_t>(number, "the number of token \"" + text + "\""),
              vocabulary.size());
}

/// Each is a text with a space, or a list of two.
void read_merges(byte_pairs_vocabulary& to, const json& merges) {
    if (!merges.is_array()) throw file_error("has no list of merges");
    for (const json& merge : merges) {
        if (!merge.is_array()) {
            to.merges.push_back(merge_of(value_of<std::string>(merge, "a merge")));
            continue;
        }
        if (merge.size() != 2) throw file_error("a merge is not of two tokens");
        to.merges.emplace_back(value_of<std::string>(merge[0], "a merge"),
                               value_of<std::string>(merge[1], "a merge"));
    }
}

[[noreturn]] void refuse(const char* what, const std::string& type) {
    throw file_error(std::string("has the ") + what + " \"" + type +
                     "\", which is none of a byte-level BPE that is known here");
}

/// Refuses what has one of these flags, which all change tokens.
void refuse_flags(const json& object, const char* what, const std::string& type,
                  std::initializer_list<const char*> flags) {
    for (const char* flag : flags)
        if (find_field<bool>(object, flag).value_or(false)) refuse(what, type + " with " + flag);
}

/// The steps of a Sequence, or the one step that there is instead. A Sequence within another is no
/// step, so that files cannot nest them deeper than a stack is.
std::vector<const json*> steps_of(const json& step, const char* list) {
    if (step.is_null()) return {};
    if (field<std::string>(step, "type") != "Sequence") return {&step};
    std::vector<const json*> steps;
    for (const json& one : part_of(step, list)) steps.push_back(&one);
    return steps;
}

void read_normalizer(word_rules& rules, const json& step) {
    if (const auto type = field<std::string>(step, "type"); type != "NFC")
        refuse("normalizer", type);
    rules.compose = true;
}

/// What of the model itself would change tokens.
void check_model(const json& model) {
    // GPT-2's own file is older than the field.
    const auto type = find_field<std::string>(model, "type");
    if (!type && part_of(model, "merges").is_null()) throw file_error("has no type of a model");
    if (type.value_or("BPE") != "BPE") refuse("model", *type);
    refuse_flags(model, "model", "BPE", {"byte_fallback"});
    for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"})
        if (!find_field<std::string>(model, name).value_or("").empty())
            refuse("model", std::string("BPE with ") + name);
    if (find_field<double>(model, "dropout").value_or(0) != 0) refuse("model", "BPE with dropout");
}

/// Tokens that no merges make, matched in the text as it was given.
void read_added_tokens(byte_pairs_vocabulary& to, const json& tokens) {
    const std::size_t entries = to.tokens.size() + tokens.size();
    for (const json& added : tokens) {
        const auto content = field<std::string>(added, "content");
        refuse_flags(added, "added token", content, {"lstrip", "rstrip", "single_word"});
        if (to.rules.compose) refuse_flags(added, "added token", content, {"normalized"});
        const auto number = field<std::int64_t>(added, "id");
        place(to, content, number, entries);
        to.whole.emplace_back(content, static_cast<token>(number));
    }
}

void read_split(word_rules& rules, const json& step) {
    const auto pattern = field<std::string>(part_of(step, "pattern"), "Regex");
    const auto known = word_rules_by_pattern(pattern);
    if (!known) refuse("pattern", pattern);
    rules.llama = known->llama;
    rules.digits = known->digits;
    refuse_flags(step, "pre-tokenizer", "Split", {"invert"});
    if (const auto behavior = field<std::string>(step, "behavior"); behavior != "Isolated")
        refuse("pre-tokenizer", "Split with behavior " + behavior);
}

/// How words are cut: first at digits or not, then by a Split's pattern or by ByteLevel's own,
/// which is GPT-2's. Each cuts what the one before it left, and ByteLevel changes what they see:
/// another order would make other words.
void read_pre_tokenizer(word_rules& rules, const std::vector<const json*>& steps) {
    auto step = steps.begin();
    const auto type = [&] {
        return step == steps.end() ? "nothing" : field<std::string>(**step, "type");
    };
    if (type() == "Digits") {
        if (!find_field<bool>(**step++, "individual_digits").value_or(false))
            refuse("pre-tokenizer", "Digits without individual_digits");
        rules.numbers_apart = true;
    }
    const bool split = type() == "Split";
    if (split) read_split(rules, **step++);
    if (type() != "ByteLevel") refuse("pre-tokenizer", type() + " where ByteLevel should be");
    if (find_field<bool>(**step, "add_prefix_space").value_or(true))
        refuse("pre-tokenizer", "ByteLevel with add_prefix_space");
    if (find_field<bool>(**step++, "use_regex").value_or(true) == split)
        refuse("pre-tokenizer", split ? "ByteLevel with use_regex behind Split"
                                      : "ByteLevel without use_regex or Split");
    if (step != steps.end()) refuse("pre-tokenizer", type() + " behind ByteLevel");
}

/// Tokens that stand before every text: those of a template before its Sequence, the text, behind
/// which nothing may come.
void read_prefix(byte_pairs_vocabulary& to, const json& step) {
    const auto type = field<std::string>(step, "type");
    if (type == "ByteLevel") return;  // it changes where tokens were found, not which
    if (type != "TemplateProcessing" || !to.prefix.empty()) refuse("post-processor", type);
    bool ended = false;
    for (const json& item : part_of(step, "single")) {
        if (ended) refuse("post-processor", type + " with something behind the text");
        const json& special = part_of(item, "SpecialToken");
        ended = special.is_null();
        if (ended) continue;
        const auto name = field<std::string>(special, "id");
        const json& ids = part_of(part_of(part_of(step, "special_tokens"), name), "ids");
        for (const json& id : ids) {
            const auto number = value_of<std::int64_t>(id, "the number of " + name);
            if (number < 0 || number >= std::int64_t(to.tokens.size()))
                throw file_error(name + " has the number " + std::to_string(number) +
                                 ", but there are " + std::to_string(to.tokens.size()));
            to.prefix.push_back(static_cast<token>(number));
        }
    }
    if (!ended) refuse("post-processor", type + " without the text");
}

}  // namespace

std::pair<std::string, std::string> merge_of(std::string_view line) {
    const std::size_t space = line.find(' ');
    if (space == 0 || space == std::string_view::npos || space + 1 == line.size() ||
        line.find(' ', space + 1) != std::string_view::npos)
        throw file_error("the merge \"" + std::string(line) + "\" is not of two tokens");
    return {std::string(line.substr(0, space)), std::string(line.substr(space + 1))};
}

byte_pairs_vocabulary read_tokenizer_json(std::string_view text) {
    const json file = parse_json(text);
    const json& model = part_of(file, "model");
    check_model(model);
    byte_pairs_vocabulary all;
    all.words_first = find_field<bool>(model, "ignore_merges").value_or(false);
    for (const json* step : steps_of(part_of(file, "normalizer"), "normalizers"))
        read_normalizer(all.rules, *step);
    read_vocabulary(all, part_of(model, "vocab"));
    read_merges(all, part_of(model, "merges"));
    read_added_tokens(all, part_of(file, "added_tokens"));
    const auto words = steps_of(part_of(file, "pre_tokenizer"), "pretokenizers");
    if (words.empty()) throw file_error("has no pre_tokenizer");
    read_pre_tokenizer(all.rules, words);
    for (const json* step : steps_of(part_of(file, "post_processor"), "processors"))
        read_prefix(all, *step);
    return all;
}

byte_pairs_vocabulary read_vocab_and_merges(std::string_view vocab_json,
                                            std::string_view merges_txt, const word_rules& rules) {
    byte_pairs_vocabulary all;
    all.rules = rules;
    read_vocabulary(all, parse_json(vocab_json));
    for (bool first = true; !merges_txt.empty(); first = false) {
        const std::size_t end = std::min(merges_txt.find('\n'), merges_txt.size());
        std::string_view line = merges_txt.substr(0, end);
        merges_txt.remove_prefix(std::min(end + 1, merges_txt.size()));
        if (line.ends_with('\r')) line.remove_suffix(1);
        if (line.empty() || (first && line.starts_with("#version"))) continue;
        all.merges.push_back(merge_of(line));
    }
    return all;
}

}  // namespace examples
