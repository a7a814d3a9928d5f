#include <cstdint>
#include <string>
#include <vector>

#include "char_lm/tests/temporary_folder.hpp"
#include "file_bytes.hpp"
#include "support/catch.hpp"
#include "support/gguf.hpp"
#include "support/model_weights.hpp"
#include "support/safetensors.hpp"

namespace examples_test::tensor_files {

using examples::index;
using examples::matrix;

/// A safetensors file of this header, with so many bytes behind it.
std::string safetensors(const std::string& header, std::size_t size) {
    return raw(std::uint64_t(header.size())) + header + std::string(size, '\0');
}

void check_refused_safetensors(const std::string& message, const std::string& file) {
    check_refused(message, [&] { examples::read_safetensors(bytes(file)); });
}

/// A tensor's line of a header.
std::string entry(const std::string& name, const std::string& type, const std::string& shape,
                  const std::string& offsets) {
    return "\"" + name + "\":{\"dtype\":\"" + type + "\",\"shape\":[" + shape +
           "],\"data_offsets\":[" + offsets + "]}";
}

std::string text(const std::string& content) {
    return raw(std::uint64_t(content.size())) + content;
}

/// The beginning of a GGUF file.
std::string gguf(std::uint64_t tensors, std::uint64_t values, std::uint32_t version = 3) {
    return "GGUF" + raw(version) + raw(tensors) + raw(values);
}

/// What it says of one tensor: axes as GGUF has them, the first running fastest.
std::string described(const std::string& name, const std::vector<std::uint64_t>& axes,
                      std::uint32_t type, std::uint64_t offset) {
    std::string all = text(name) + raw(std::uint32_t(axes.size()));
    for (const std::uint64_t axis : axes) all += raw(axis);
    return all + raw(type) + raw(offset);
}

/// `size` bytes from the next multiple of 32 on.
std::string with_data(std::string file, const std::string& data) {
    file.resize((file.size() + 31) / 32 * 32);
    return file + data;
}

void check_refused_gguf(const std::string& message, const std::string& file) {
    check_refused(message, [&] { examples::read_gguf(bytes(file)); });
}

TEST_CASE("safetensors and GGUF have the same model: floats, float16 and bfloat16") {
    const auto folder = examples::open_safetensors(models() / "llama");
    const examples::mapped_file mapped(models() / "llama.gguf");
    const auto file = examples::read_gguf(mapped.bytes());
    const auto check_same = [&](const char* theirs, const char* ours, index rows, index columns) {
        INFO(theirs);
        const matrix a = folder.tensors.weights(theirs, rows, columns);
        CHECK(a.norm() > 0);
        CHECK(a == file.tensors.weights(ours, rows, columns));
    };
    const auto tokens = index(file.at<std::vector<std::string>>("tokenizer.ggml.tokens").size());
    check_same("model.embed_tokens.weight", "token_embd.weight", tokens, 16);        // bfloat16
    check_same("model.layers.1.mlp.up_proj.weight", "blk.1.ffn_up.weight", 24, 16);  // float16
    check_same("model.norm.weight", "output_norm.weight", 1, 16);                    // float
    Eigen::RowVectorXf row(16);
    folder.tensors.read_row("model.embed_tokens.weight", 7, row.data());
    CHECK(row == folder.tensors.weights("model.embed_tokens.weight", tokens, 16).row(7));
    CHECK(file.at<std::string>("general.architecture") == "llama");
    CHECK(file.at<double>("llama.block_count") == 2);
}

TEST_CASE("blocks of 8 and 4 bits are scales times integers") {
    std::string q8 = raw(std::uint16_t(0x3800));  // 0.5
    for (int i = 0; i < 32; ++i) q8 += char(i - 16);
    std::string q4 = raw(std::uint16_t(0xC000));  // -2
    for (int i = 0; i < 16; ++i) q4 += char(i | (15 - i) << 4);
    const std::string file =
        with_data(gguf(2, 0) + described("eight", {32, 1}, 8, 0) + described("four", {32}, 2, 64),
                  q8 + std::string(30, '\0') + q4);
    const auto tensors = examples::read_gguf(bytes(file)).tensors;
    const auto eight = tensors.vector("eight", 32), four = tensors.vector("four", 32);
    for (index i = 0; i < 32; ++i) CHECK(eight[i] == 0.5F * float(i - 16));
    for (index i = 0; i < 16; ++i) {
        CHECK(four[i] == -2.0F * float(i - 8));
        CHECK(four[i + 16] == -2.0F * float(7 - i));
    }
}

TEST_CASE("a tensor that is missing or does not fit is named") {
    const std::string file = safetensors(
        "{" + entry("a", "F32", "2,3", "0,24") + "," + entry("ids", "I64", "3", "24,48") + "}", 48);
    const auto tensors = examples::read_safetensors(bytes(file));
    CHECK(tensors.weights("a", 2, 3).isZero());
    check_refused("there is no tensor b", [&] { tensors.weights("b", 2, 3); });
    check_refused("tensor a is [2, 3], but the model needs [3, 2]",
                  [&] { tensors.weights("a", 3, 2); });
    check_refused("tensor a is [2, 3], but the model needs [6]", [&] { tensors.vector("a", 6); });
    check_refused("tensor ids is stored as I64", [&] { tensors.vector("ids", 3); });
    Eigen::RowVectorXf row(3);
    for (const index number : {-1, 2})
        check_refused("tensor a is [2, 3], which has no row " + std::to_string(number),
                      [&] { tensors.read_row("a", number, row.data()); });
}

TEST_CASE("a safetensors file that lies is refused") {
    const auto one = [](const std::string& of) { return "{" + of + "}"; };
    const std::string good = one(entry("a", "F32", "2,3", "0,24"));
    CHECK(examples::read_safetensors(bytes(safetensors(good, 24))).has("a"));
    check_refused_safetensors("the length of the header takes 8 bytes", "1234567");
    check_refused_safetensors("but only 24 are left",
                              raw(std::uint64_t(25)) + std::string(24, ' '));
    check_refused_safetensors("but at most 100000000", raw(~std::uint64_t(0)) + good);
    check_refused_safetensors("is not JSON", safetensors("{\"a\":", 24));
    check_refused_safetensors("the header is no object", safetensors("[1, 2]", 0));
    check_refused_safetensors("cut short", safetensors(good, 23));
    check_refused_safetensors("leave a gap", safetensors(good, 25));
    check_refused_safetensors("the type F5, which is not known",
                              safetensors(one(entry("a", "F5", "2,3", "0,24")), 24));
    check_refused_safetensors("has 24 bytes, but its shape needs 20",
                              safetensors(one(entry("a", "F32", "5", "0,24")), 24));
    check_refused_safetensors("no beginning and end",
                              safetensors(one(entry("a", "F32", "6", "24,0")), 24));
    check_refused_safetensors("holds -1", safetensors(one(entry("a", "F32", "-1", "0,24")), 24));
    check_refused_safetensors(
        "larger than any file",
        safetensors(one(entry("a", "F32", "4294967296,4294967296", "0,24")), 24));
    check_refused_safetensors(
        "neither overlap nor leave a gap",
        safetensors(one(entry("a", "F32", "4", "0,16") + "," + entry("b", "F32", "4", "8,24")),
                    24));
    const std::string nested = std::string(1'000'000, '[') + std::string(1'000'000, ']');
    check_refused_safetensors("holds what is no number",
                              safetensors(one(entry("a", "F32", nested, "0,24")), 24));
    check_refused_safetensors(
        "has \"a\" twice",
        safetensors(one(entry("a", "F32", "4", "0,16") + "," + entry("a", "F32", "2", "0,8")), 8));
    check_refused_safetensors("no list shape", safetensors(R"({"a":{"dtype":"F32"}})", 0));
    check_refused_safetensors("has no dtype", safetensors(R"({"a":{}})", 0));
    check_refused_safetensors("described by no object", safetensors(R"({"a":3})", 0));
}

TEST_CASE("a GGUF file that lies is refused") {
    constexpr std::uint64_t endless = ~std::uint64_t(0);
    const std::string data(64, '\0');
    const auto with = [&](const std::string& tensor) {
        return with_data(gguf(1, 0) + tensor, data);
    };
    CHECK(examples::read_gguf(bytes(with(described("a", {16}, 0, 0)))).tensors.has("a"));
    check_refused_gguf("does not begin with GGUF", std::string(24, 'x'));
    check_refused_gguf("version 1", gguf(0, 0, 1));
    check_refused_gguf("the name of a value", gguf(0, endless));
    check_refused_gguf("the name of a tensor", gguf(endless, 0));
    check_refused_gguf("takes 18446744073709551615 bytes", gguf(0, 1) + raw(endless));
    check_refused_gguf("has the type 99, which is not known",
                       gguf(0, 1) + text("v") + raw(std::uint32_t(99)) + data);
    check_refused_gguf("has the type 9, which is not known",  // a list of lists
                       gguf(0, 1) + text("v") + raw(std::uint32_t(9)) + raw(std::uint32_t(9)) +
                           raw(std::uint64_t(1)) + data);
    check_refused_gguf("v takes 4 bytes", gguf(0, 1) + text("v") + raw(std::uint32_t(9)) +
                                              raw(std::uint32_t(6)) + raw(endless));
    check_refused_gguf("two values v", gguf(0, 2) + text("v") + raw(std::uint32_t(0)) + "1" +
                                           text("v") + raw(std::uint32_t(0)) + "2");
    check_refused_gguf("9 axes", with(described("a", std::vector<std::uint64_t>(9, 1), 0, 0)));
    check_refused_gguf("type 77, which is not known", with(described("a", {16}, 77, 0)));
    check_refused_gguf("larger than any file", with(described("a", {1U << 31, 1U << 31}, 0, 0)));
    check_refused_gguf("Q8_0 stores 32 together", with(described("a", {31, 2}, 8, 0)));
    check_refused_gguf("no multiple of 32", with(described("a", {4}, 0, 16)));
    check_refused_gguf("cut short", with(described("a", {17}, 0, 0)));
    check_refused_gguf("cut short", with(described("a", {1}, 0, endless - 31)));
    check_refused_gguf(
        "two tensors a",
        with_data(gguf(2, 0) + described("a", {1}, 0, 0) + described("a", {1}, 0, 32), data));
    check_refused_gguf(
        "tensors a and b overlap",
        with_data(gguf(2, 0) + described("a", {16}, 0, 0) + described("b", {1}, 0, 32), data));
    const auto values =
        examples::read_gguf(bytes(gguf(0, 1) + text("v") + raw(std::uint32_t(0)) + "1"));
    check_refused("v is of another kind", [&] { (void)values.at<std::string>("v"); });
    check_refused("has no w", [&] { (void)values.at<double>("w"); });
}

TEST_CASE("a model in parts is read as one, and none of them lies elsewhere") {
    const char_lm::temporary_folder folder;
    const auto one = [](const std::string& name) {
        return safetensors("{" + entry(name, "F32", "1", "0,4") + "}", 4);
    };
    (void)folder.file("1.safetensors", one("a"));
    (void)folder.file("2.safetensors", one("b"));
    const auto index_of = [&](const std::string& parts) {
        (void)folder.file("model.safetensors.index.json", "{\"weight_map\":{" + parts + "}}");
        return examples::open_safetensors(folder.path());
    };
    const auto whole = index_of(R"("a":"1.safetensors","b":"2.safetensors")");
    CHECK((whole.tensors.has("a") && whole.tensors.has("b")));
    check_refused("\"../1.safetensors\" is not in", [&] { index_of(R"("a":"../1.safetensors")"); });
    check_refused("the file of tensor a is of another kind", [&] { index_of(R"("a":1)"); });
    check_refused("names no file", [&] { index_of(""); });
    check_refused("cannot read", [&] { index_of(R"("a":"3.safetensors")"); });
    (void)folder.file("2.safetensors", one("a"));
    check_refused("2.safetensors: there are two tensors a",
                  [&] { index_of(R"("a":"1.safetensors","b":"2.safetensors")"); });
}

TEST_CASE("a file that is not there is named") {
    check_refused("cannot read /no/such/file", [] { examples::mapped_file("/no/such/file"); });
    check_refused("is not a file", [] { examples::mapped_file("/"); });
    check_refused("model.safetensors", [] { examples::open_safetensors(models()); });
}

}  // namespace examples_test::tensor_files
