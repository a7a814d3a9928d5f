#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "file_bytes.hpp"
#include "support/byte_pairs.hpp"
#include "support/catch.hpp"
#include "support/tokenizer_json.hpp"
#include "support/word_pieces.hpp"
#include "support/word_rules.hpp"

namespace examples_test::tokenizers {

using examples::byte_pairs;
using tokens = std::vector<std::int32_t>;

/// encode(text) is what the library tokenizers made of each of the golden texts.
template <class Encode>
void check_golden(const std::string& name, Encode&& encode) {
    const auto& texts = golden::load("models", "texts");
    const auto& expected = golden::load("models", name);
    int count = 0;
    for (; texts.has("text_" + std::to_string(count)); ++count) {
        const std::string number = std::to_string(count);
        const std::string text = text_of(texts["text_" + number]);
        INFO(name << ": \"" << text << '"');
        CHECK(encode(text) == expected.numbers<std::int32_t>("ids_" + number));
    }
    REQUIRE(count > 10);
}

std::string joined(const byte_pairs& vocabulary, const tokens& all) {
    std::string text;
    for (const auto t : all) text += vocabulary.bytes_of(t);
    return text;
}

TEST_CASE("texts are cut into words as the tokenizers' patterns do it") {
    for (const auto& [name, rules] : {std::pair("words_gpt2", "gpt-2"),
                                      {"words_llama3", "llama-bpe"},
                                      {"words_qwen2", "qwen2"},
                                      {"words_smollm", "smollm"}}) {
        const auto chosen = examples::word_rules_named(rules);
        REQUIRE(chosen);
        check_golden(name, [&](const std::string& text) {
            tokens sizes;
            for (const auto word : examples::split_words(text, *chosen))
                sizes.push_back(std::int32_t(word.size()));
            return sizes;
        });
    }
    CHECK_FALSE(examples::word_rules_named("falcon"));
    CHECK_FALSE(examples::word_rules_by_pattern(R"(\w+)"));
}

TEST_CASE("byte pairs are those of the library tokenizers") {
    for (const std::string name : {"llama", "qwen2"}) {
        const byte_pairs vocabulary(
            examples::read_tokenizer_json(contents(name + "/tokenizer.json")));
        check_golden(name + "_tokens",
                     [&](const std::string& text) { return vocabulary.encode(text); });
    }
    auto older =
        examples::read_vocab_and_merges(contents("qwen2/vocab.json"), contents("qwen2/merges.txt"));
    older.whole = {{"<|begin|>", 0}, {"<|end|>", 1}};  // neither file says so
    const byte_pairs vocabulary(older);
    check_golden("gpt2_tokens", [&](const std::string& text) { return vocabulary.encode(text); });
}

TEST_CASE("tokens are the text again, whatever bytes it has") {
    const byte_pairs vocabulary(examples::read_tokenizer_json(contents("llama/tokenizer.json")));
    std::string every;
    for (int byte = 0; byte < 256; ++byte) every += char(byte);
    CHECK(joined(vocabulary, vocabulary.encode(every)) == "<|begin|>" + every);
    CHECK(joined(vocabulary, vocabulary.encode("漢<|end|>é")) == "<|begin|>漢<|end|>é");
}

/// A tokenizer.json with these parts in the place of its own.
std::string small_file(
    const std::string& model, const std::string& rest = "",
    const std::string& words = R"({"type":"ByteLevel","add_prefix_space":false})") {
    return R"({"model":{"type":"BPE",)" + model + R"(},"pre_tokenizer":)" + words + rest + "}";
}

TEST_CASE("a tokenizer file that is wrong is refused") {
    const std::string vocab = R"("vocab":{"a":0,"b":1,"ab":2})";
    const auto read = [](const std::string& text) {
        return byte_pairs(examples::read_tokenizer_json(text));
    };
    CHECK(read(small_file(vocab + R"(,"merges":["a b"])")).encode("aba") == tokens{2, 0});
    CHECK(read(small_file(vocab + R"(,"merges":[["a","b"]])")).encode("bab") == tokens{1, 2});
    const auto refused = [&](const std::string& message, const std::string& text) {
        check_refused(message, [&] { read(text); });
    };
    refused("is not JSON", "{");
    refused("has no type", "{\"model\":{}}");
    refused("has the model \"Unigram\"", R"({"model":{"type":"Unigram"}})");
    refused("byte_fallback", small_file(vocab + R"(,"byte_fallback":true,"merges":[])"));
    refused("no list of merges", small_file(vocab));
    refused("\"a\" has the number -1", small_file(R"("vocab":{"a":-1},"merges":[])"));
    refused("\"a\" has the number 16777215, but there are 1",
            small_file(R"("vocab":{"a":16777215},"merges":[])"));
    refused("token 0 is both", small_file(R"("vocab":{"a":0,"b":0},"merges":[])"));
    refused("has \"a\" twice", small_file(R"("vocab":{"a":0,"a":1},"merges":[])"));
    refused("\"a b c\" is not of two", small_file(vocab + R"(,"merges":["a b c"])"));
    refused("needs the token \"ba\"", small_file(vocab + R"(,"merges":["b a"])"));
    refused("x has the number 7, but there are 3",
            small_file(vocab + R"(,"merges":[])",
                       R"(,"post_processor":{"type":"TemplateProcessing",
                          "single":[{"SpecialToken":{"id":"x"}},{"Sequence":{"id":"A"}}],
                          "special_tokens":{"x":{"ids":[7]}}})"));
    refused("token 3 is one that is never taken apart, but it has no text",
            small_file(vocab + R"(,"merges":[])", R"(,"added_tokens":[{"id":3,"content":""}])"));
    refused("has no pre_tokenizer", R"({"model":{"type":"BPE","vocab":{},"merges":[]}})");
    refused("has the pattern", R"({"model":{"type":"BPE","vocab":{},"merges":[]},"pre_tokenizer":
                                  {"type":"Split","pattern":{"Regex":"."}}})");
    std::string nested = R"({"type":"NFC"})";
    for (int i = 0; i < 2; ++i) nested = R"({"type":"Sequence","normalizers":[)" + nested + "]}";
    refused("has the normalizer \"Sequence\"",
            small_file(vocab + R"(,"merges":[])", ",\"normalizer\":" + nested));
    CHECK_THROWS_WITH(read(small_file(vocab + R"(,"merges":[])")).encode("ax"),
                      "the vocabulary has no token for the byte 0x78");
}

const std::string tiny = R"("vocab":{"1":0,"2":1,"12":2},"merges":["1 2"])";

TEST_CASE("what a tokenizer file says as real ones do is read") {
    const auto read = [](const std::string& text) {
        return byte_pairs(examples::read_tokenizer_json(text));
    };
    // GPT-2's: no type, affixes that are empty, an added token that is normalized, to nothing else.
    const auto gpt2 = read(R"({"added_tokens":[{"id":3,"special":true,"content":"<|endoftext|>",
        "single_word":false,"lstrip":false,"rstrip":false,"normalized":true}],"normalizer":null,
        "pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true},
        "post_processor":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":false},
        "model":{"dropout":null,"unk_token":null,"continuing_subword_prefix":"",
        "end_of_word_suffix":"","fuse_unk":false,)" +
                           tiny + "}}");
    CHECK(gpt2.encode("12<|endoftext|>") == tokens{2, 3});
    // SmolLM's: digits apart, then ByteLevel's own pattern.
    const auto smollm = read(small_file(tiny, "", R"({"type":"Sequence","pretokenizers":[
        {"type":"Digits","individual_digits":true},{"type":"ByteLevel","add_prefix_space":false,
        "trim_offsets":true,"use_regex":true}]})"));
    CHECK(smollm.encode("12") == tokens{0, 1});
    // Llama 3's: a post-processor of two, of which one is ByteLevel.
    const auto llama3 = read(small_file(tiny, R"(,"post_processor":{"type":"Sequence",
        "processors":[{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":false},
        {"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"x"}},{"Sequence":{"id":"A"}}],
        "special_tokens":{"x":{"ids":[1]}}}]})"));
    CHECK(llama3.encode("12") == tokens{1, 2});
}

TEST_CASE("what would change tokens and is not followed is refused") {
    const auto refused = [](const std::string& message, const std::string& text) {
        check_refused("has the " + message, [&] { examples::read_tokenizer_json(text); });
    };
    refused("model \"BPE with dropout", small_file(tiny + R"(,"dropout":0.1)"));
    for (const std::string affix : {"continuing_subword_prefix", "end_of_word_suffix"})
        refused("model \"BPE with " + affix, small_file(tiny + ",\"" + affix + "\":\"@\""));

    const auto added = [](const std::string& flag) {
        return small_file(tiny, R"(,"normalizer":{"type":"NFC"},"added_tokens":[{"id":3,
                                "content":"<s>",")" +
                                    flag + "\":true}]");
    };
    for (const std::string flag : {"lstrip", "rstrip", "single_word", "normalized"})
        refused("added token \"<s> with " + flag, added(flag));

    const auto words = [](const std::string& steps) {
        return small_file(tiny, "", R"({"type":"Sequence","pretokenizers":[)" + steps + "]}");
    };
    const std::string digits = R"({"type":"Digits","individual_digits":true})",
                      last = R"({"type":"ByteLevel","add_prefix_space":false,"use_regex":false})",
                      gpt2 = R"({"type":"ByteLevel","add_prefix_space":false})";
    const auto split = [](const std::string& how) {
        return R"({"type":"Split",)" + how +
               R"(,"pattern":{"Regex":"'s|'t|'re|'ve|'m|'ll|'d| )"
               R"(?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"}})";
    };
    const std::string isolated = split(R"("behavior":"Isolated","invert":false)");
    CHECK_NOTHROW(examples::read_tokenizer_json(words(digits + "," + isolated + "," + last)));
    refused("pre-tokenizer \"ByteLevel without use_regex", words(last));
    refused("pre-tokenizer \"ByteLevel with use_regex behind", words(isolated + "," + gpt2));
    refused("pre-tokenizer \"Split with invert",
            words(split(R"("behavior":"Isolated","invert":true)") + "," + last));
    refused("pre-tokenizer \"Split with behavior Removed",
            words(split(R"("behavior":"Removed")") + "," + last));
    refused("pre-tokenizer \"Split where", words(isolated + "," + isolated + "," + last));
    refused("pre-tokenizer \"Digits where", words(isolated + "," + digits + "," + last));
    refused("pre-tokenizer \"Digits behind", words(gpt2 + "," + digits));
    refused("pre-tokenizer \"nothing where", words(isolated));

    const auto processed = [](const std::string& type, const std::string& single) {
        return small_file(tiny, R"(,"post_processor":{"type":")" + type + R"(","single":[)" +
                                    single + R"(],"special_tokens":{"x":{"ids":[1]}}})");
    };
    const std::string text = R"({"Sequence":{"id":"A"}})", x = R"({"SpecialToken":{"id":"x"}})";
    refused("post-processor \"TemplateProcessing with something behind",
            processed("TemplateProcessing", text + "," + x));
    refused("post-processor \"TemplateProcessing without", processed("TemplateProcessing", x));
    refused("post-processor \"BertProcessing", processed("BertProcessing", text));
}

TEST_CASE("word pieces are those of BERT's tokenizer") {
    const examples::word_pieces vocabulary(contents("bert/vocab.txt"));
    check_golden("bert_tokens",
                 [&](const std::string& text) { return vocabulary.encode(text, 512); });
    const auto cut = vocabulary.encode("one two three four five", 4);
    CHECK(cut.size() == 4);
    CHECK(cut.back() == vocabulary.encode("", 4).back());
    CHECK(vocabulary.encode(std::string(101, 'a'), 9).size() == 3);  // unknown
}

TEST_CASE("BERT's own tokens are one token where a text has them") {
    const examples::word_pieces vocabulary(
        "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##a\n[\n]\nmask\n");
    CHECK(vocabulary.encode("a [MASK]a[PAD]", 9) == tokens{2, 5, 4, 5, 0, 3});
    CHECK(vocabulary.encode("[mask]", 9) == tokens{2, 7, 9, 8, 3});
    CHECK(vocabulary.encode("[SEP][MASK][MASK]", 3) == tokens{2, 3, 3});
    CHECK(examples::word_pieces("[UNK]\n[CLS]\n[SEP]\n[\n]\nmask").encode("[MASK]", 9) ==
          tokens{1, 3, 5, 4, 2});  // the vocabulary has no such token
}

TEST_CASE("a vocabulary of word pieces that is wrong is refused") {
    check_refused("\"[UNK]\" is there twice",
                  [] { examples::word_pieces("[UNK]\n[CLS]\n[SEP]\n[UNK]\n"); });
    check_refused("no token [SEP]", [] { examples::word_pieces("[UNK]\n[CLS]\n"); });
    CHECK(examples::word_pieces("[UNK]\r\n[CLS]\r\n[SEP]").encode("x", 9) == tokens{1, 0, 2});
}

}  // namespace examples_test::tokenizers
