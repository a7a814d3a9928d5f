#include "options.hpp"

#include <string>

#include <CLI/CLI.hpp>

#include "support/model_options.hpp"

namespace decoder {

std::optional<options> read_options(int count, char** arguments, int& status) {
    options o;
    CLI::App app{
        "Goes on from prompts with a Llama-like model: Llama 3, SmolLM2, Qwen 2 and their like, "
        "in\n"
        "safetensors or GGUF."};
    app.get_formatter()->column_width(38);
    app.add_option("model", o.model, "Folder as transformers writes it, or a file in GGUF")
        ->required()
        ->check(CLI::ExistingPath)
        ->type_name("PATH");
    app.add_option("prompts", o.prompts, "Texts to go on from, all at once")->type_name("TEXT");
    app.add_option("--perplexity", o.measured_text, "Measure how well this text is predicted")
        ->check(CLI::ExistingFile)
        ->type_name("FILE");
    app.add_flag("--check-bits", o.check_bits,
                 "Read each prompt as a whole, in chunks, token by token: are the bits the same?");
    app.option_defaults()->always_capture_default();
    examples::add_precision(app, "--weights", o.weights,
                            "What weights are kept in: float, bfloat16 or int8");
    examples::add_precision(app, "--cache", o.cache, "What keys and values are kept in");
    examples::add_threads(app, o.threads);
    app.add_option("--window", o.window, "Tokens that the perplexity is measured in at a time")
        ->check(CLI::Range(2, 1 << 20))
        ->type_name("N");

    const std::string writing = "Writing";
    app.add_option("--tokens", o.tokens, "Tokens to write at most")
        ->check(CLI::Range(0, 1 << 20))
        ->type_name("N")
        ->group(writing);
    app.add_option("--temperature", o.how.temperature, "0 for the likeliest token, 1 for as it is")
        ->check(CLI::Range(0.0, 100.0))
        ->type_name("X")
        ->group(writing);
    index top_k = 0;
    app.add_option("--top-k", top_k, "Draw from the K likeliest, 0 for all")
        ->check(CLI::Range(0, 1 << 24))
        ->type_name("K")
        ->group(writing);
    app.add_option("--top-p", o.how.top_p, "Draw from the fewest that have a share of P")
        ->check(CLI::Range(1e-6, 1.0))
        ->type_name("P")
        ->group(writing);
    app.add_option("--min-p", o.how.min_p, "Draw from those of P times the largest probability")
        ->check(CLI::Range(0.0, 1.0))
        ->type_name("P")
        ->group(writing);
    app.add_option("--seed", o.how.seed, "Of what is drawn")->type_name("N")->group(writing);
    app.add_flag("-q,--quiet", o.quiet, "No progress bar");
    app.footer(
        "\nEnds with 0 when all went well, 1 for a file that is wrong or bits that differ; 100 "
        "and\n"
        "more for options that cannot be read.");
    if (!examples::parse(app, count, arguments, o.threads, status)) return std::nullopt;
    if (top_k > 0) o.how.top_k = top_k;
    return o;
}

}  // namespace decoder
