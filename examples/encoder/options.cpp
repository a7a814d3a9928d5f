#include "options.hpp"

#include <algorithm>
#include <map>
#include <thread>

#include <CLI/CLI.hpp>

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
    const std::map<std::string, precision> precisions{{"float", precision::float32},
                                                      {"bfloat16", precision::bfloat16},
                                                      {"int8", precision::int8}};
    app.add_option_function<std::string>(
           "--weights", [&](const std::string& text) { o.weights = precisions.at(text); },
           "What weights are kept in: float, bfloat16 or int8")
        ->default_str("float")
        ->check(CLI::IsMember({"float", "bfloat16", "int8"}))
        ->type_name("TYPE");
    app.add_flag("--cased", o.cased, "The vocabulary has capitals and accents");
    app.add_option("--batch", o.batch, "Texts at a time")
        ->check(CLI::Range(1, 1 << 16))
        ->type_name("N");
    app.add_option("--longest", o.longest, "Tokens of a text; what is longer is cut")
        ->check(CLI::Range(2, 1 << 20))
        ->type_name("N");
    app.add_option("--threads", o.threads, "Threads, 0 for all of the machine's")
        ->check(CLI::Range(0, 1024))
        ->type_name("N");
    app.add_flag("-q,--quiet", o.quiet, "No progress bar");
    app.footer(
        "\nEnds with 0 when all went well, 1 for a file that is wrong or cannot be written; 100 "
        "and\n"
        "more for options that cannot be read.");
    try {
        app.parse(count, arguments);
    } catch (const CLI::ParseError& error) {
        status = app.exit(error);
        return std::nullopt;
    }
    if (o.threads == 0)
        o.threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
    return o;
}

}  // namespace encoder
