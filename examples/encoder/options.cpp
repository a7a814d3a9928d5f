#include "options.hpp"

#include <CLI/CLI.hpp>

#include "support/model_options.hpp"

namespace encoder {

std::optional<options> read_options(int count, char** arguments, int& status) {
    options o;
    CLI::App app{
        "Vectors of texts with a BERT-like encoder as all-MiniLM-L6-v2, and how alike texts are."};
    app.get_formatter()->column_width(38);
    app.add_option("model", o.model, "Folder as transformers writes it")
        ->required()
        ->check(CLI::ExistingDirectory)
        ->type_name("FOLDER");
    app.add_option("texts", o.texts, "Texts")->type_name("TEXT");
    app.add_option("--file", o.file, "More of them, a line each")
        ->check(CLI::ExistingFile)
        ->type_name("FILE");
    app.add_option("-o,--out", o.out, "Write the vectors, a line each")->type_name("CSV");
    app.option_defaults()->always_capture_default();
    examples::add_precision(app, "--weights", o.weights,
                            "What weights are kept in: float, bfloat16 or int8");
    app.add_flag("--cased", o.cased, "The vocabulary has capitals and accents");
    app.add_option("--batch", o.batch, "Texts at a time")
        ->check(CLI::Range(1, 1 << 16))
        ->type_name("N");
    app.add_option("--longest", o.longest, "Tokens of a text; what is longer is cut")
        ->check(CLI::Range(2, 1 << 20))
        ->type_name("N");
    examples::add_threads(app, o.threads);
    app.add_flag("-q,--quiet", o.quiet, "No progress bar");
    app.footer(
        "\nEnds with 0 when all went well, 1 for a file that is wrong or cannot be written; 100 "
        "and\n"
        "more for options that cannot be read.");
    if (!examples::parse(app, count, arguments, o.threads, status)) return std::nullopt;
    return o;
}

}  // namespace encoder
