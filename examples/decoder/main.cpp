/// Text generation with a Llama-like checkpoint: read its files, go on from prompts, measure a
/// text's perplexity, show that bits do not depend on how a text is read. `decoder --help` lists
/// what can be chosen; docs/examples/decoder.md says where models are and what is printed.

#include <algorithm>
#include <cstdio>
#include <exception>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <unsupported/Eigen/CXX11/ThreadPool>

#include "check_bits.hpp"
#include "generate.hpp"
#include "model_files.hpp"
#include "options.hpp"
#include "perplexity.hpp"
#include "support/byte_pairs.hpp"
#include "support/mapped_file.hpp"
#include "support/progress_bar.hpp"
#include "transformer.hpp"

namespace decoder {

namespace {

transformer load(const model_files& files, const options& o) {
    examples::progress_bar bar(o.quiet);
    return {files.sizes, files.weights.tensors, o.weights,
            [&](double fraction) { bar.show(fraction, "packing weights"); }};
}

std::vector<std::vector<token>> encode(const examples::byte_pairs& vocabulary, const options& o) {
    std::vector<std::vector<token>> prompts;
    for (const std::string& text : o.prompts) {
        prompts.push_back(vocabulary.encode(text));
        if (prompts.back().empty()) throw std::invalid_argument("a prompt is empty");
    }
    return prompts;
}

/// One text appears as it is written, several when all are done.
void write(const transformer& model, const examples::byte_pairs& vocabulary, const options& o,
           std::span<const std::vector<token>> prompts, const heed::on_pool& threads) {
    const bool alone = prompts.size() == 1;
    if (alone) std::printf("%s", o.prompts[0].c_str());
    std::fflush(stdout);
    std::optional<examples::progress_bar> bar;
    if (!alone) bar.emplace(o.quiet);
    index drawn = 0;
    const double most = double(o.tokens) * double(prompts.size());
    const auto result =
        generate(model, prompts, o.tokens, o.how, o.cache, threads, [&](std::size_t, token t) {
            if (bar) return bar->show(double(++drawn) / most, "writing");
            std::printf("%s", vocabulary.bytes_of(t).c_str());
            std::fflush(stdout);
        });
    bar.reset();
    for (std::size_t text = 0; !alone && text < prompts.size(); ++text) {
        std::printf("%s%s", text > 0 ? "\n\n" : "", o.prompts[text].c_str());
        for (const token t : result.texts[text]) std::printf("%s", vocabulary.bytes_of(t).c_str());
    }
    const auto rate = [](index tokens, double seconds) {
        return double(tokens) / std::max(seconds, 1e-9);
    };
    std::printf("\n\nRead %td tokens, %.1f a second; wrote %.1f a second.\n", result.read,
                rate(result.read, result.read_seconds), rate(result.written, result.write_seconds));
}

void measure(const transformer& model, const examples::byte_pairs& vocabulary, const options& o,
             const heed::on_pool& threads) {
    const examples::mapped_file file(*o.measured_text);
    const auto tokens = vocabulary.encode(file.text());
    const index window = std::min(o.window, model.sizes().longest);
    double found = 0;
    {
        examples::progress_bar bar(o.quiet);
        found = perplexity(model, tokens, window, o.cache, threads,
                           [&](double fraction) { bar.show(fraction, "reading"); });
    }
    std::printf("Perplexity of %s, %zu tokens in windows of %td: %.4f\n",
                o.measured_text->string().c_str(), tokens.size(), window, found);
}

/// Whether all ways to read the prompts give the same bits.
bool compare(const transformer& model, const options& o,
             std::span<const std::vector<token>> prompts, const heed::on_pool& threads) {
    bool all = true;
    for (const auto& prompt : prompts) {
        std::printf("%zu tokens as a whole, and\n", prompt.size());
        for (const way_of_reading& way : check_bits(model, prompt, o.cache, threads)) {
            std::printf("  %-22s%s\n", way.name.c_str(),
                        way.same_bits ? "the same bits" : "OTHER BITS");
            all = all && way.same_bits;
        }
    }
    return all;
}

bool run(const options& o) {
    const model_files files = open_model(o.model);
    const examples::byte_pairs vocabulary(files.vocabulary);
    const auto prompts = encode(vocabulary, o);
    if (o.check_bits && prompts.empty()) throw std::invalid_argument("--check-bits needs a prompt");
    std::optional<Eigen::ThreadPool> pool;
    if (o.threads > 1) pool.emplace(o.threads - 1);
    const heed::on_pool threads{pool ? &*pool : nullptr};
    const transformer model = load(files, o);
    std::printf("%td layers of %td heads over %td, width %td, %td tokens known.\n",
                model.sizes().layers, model.sizes().heads, model.sizes().kv_heads,
                model.sizes().width, model.sizes().vocabulary);
    if (o.measured_text) measure(model, vocabulary, o, threads);
    if (o.check_bits) return compare(model, o, prompts, threads);
    if (!prompts.empty()) write(model, vocabulary, o, prompts, threads);
    return true;
}

}  // namespace

}  // namespace decoder

int main(int count, char** arguments) {
    try {
        int status = 0;
        const auto options = decoder::read_options(count, arguments, status);
        if (!options) return status;
        return decoder::run(*options) ? 0 : 1;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "decoder: %s\n", error.what());
        return 1;
    }
}
