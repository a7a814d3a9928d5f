#include "options.hpp"

#include <algorithm>
#include <map>
#include <thread>

#include <CLI/CLI.hpp>

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

    const std::map<std::string, precision> precisions{{"float", precision::float32},
                                                      {"bfloat16", precision::bfloat16},
                                                      {"int8", precision::int8}};
    const auto add_precision = [&](const char* name, precision& chosen, const char* meaning) {
        app.add_option_function<std::string>(
               name, [&, precisions](const std::string& text) { chosen = precisions.at(text); },
               meaning)
            ->default_str("float")
            ->check(CLI::IsMember({"float", "bfloat16", "int8"}))
            ->type_name("TYPE");
    };
    add_precision("--weights", o.weights, "What weights are kept in: float, bfloat16 or int8");
    add_precision("--cache", o.cache, "What keys and values are kept in");
    app.add_option("--threads", o.threads, "Threads, 0 for all of the machine's")
        ->check(CLI::Range(0, 1024))
        ->type_name("N");
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
    try {
        app.parse(count, arguments);
    } catch (const CLI::ParseError& error) {
        status = app.exit(error);
        return std::nullopt;
    }
    if (top_k > 0) o.how.top_k = top_k;
    if (o.threads == 0)
        o.threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
    return o;
}

}  // namespace decoder
