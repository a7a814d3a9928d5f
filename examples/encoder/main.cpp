/// Vectors of texts with a BERT-like checkpoint: read its files, encode texts of different lengths
/// together, print how alike they are. `encoder --help` lists what can be chosen;
/// docs/examples/encoder.md says where models are and what is printed.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <fstream>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <unsupported/Eigen/CXX11/ThreadPool>

#include "configuration.hpp"
#include "options.hpp"
#include "sentence_encoder.hpp"
#include "support/checked_file.hpp"
#include "support/file_error.hpp"
#include "support/mapped_file.hpp"
#include "support/model_weights.hpp"
#include "support/progress_bar.hpp"
#include "support/word_pieces.hpp"

namespace encoder {

namespace {

using examples::in_file;
using examples::mapped_file;

configuration open_configuration(const std::filesystem::path& folder) {
    const auto path = folder / "config.json";
    const mapped_file file(path);
    return in_file(path, [&] { return read_configuration(examples::parse_json(file.text())); });
}

examples::word_pieces open_vocabulary(const std::filesystem::path& folder, bool cased) {
    const auto path = folder / "vocab.txt";
    const mapped_file file(path);
    return in_file(path, [&] { return examples::word_pieces(file.text(), !cased); });
}

std::vector<std::string> all_texts(const options& o) {
    std::vector<std::string> texts = o.texts;
    if (o.file) {
        std::ifstream stream(*o.file);
        for (std::string line; std::getline(stream, line);)
            if (!line.empty()) texts.push_back(line);
    }
    if (texts.empty()) throw std::invalid_argument("there are no texts to encode");
    return texts;
}

void write_csv(const std::filesystem::path& path, const matrix& vectors) {
    const auto file = examples::checked_file(path.parent_path().empty() ? "." : path.parent_path(),
                                             path.filename().string());
    std::ofstream stream(file);
    stream.precision(9);
    for (index row = 0; row < vectors.rows(); ++row)
        for (index i = 0; i < vectors.cols(); ++i)
            stream << vectors(row, i) << (i + 1 < vectors.cols() ? ',' : '\n');
    examples::close_checked(stream, file);
}

/// Each text, and the cosines to those before it.
void print_cosines(std::span<const std::string> texts, const matrix& vectors) {
    constexpr index most = 16;  // a line should be readable
    const index count = std::min(most, vectors.rows());
    for (index a = 0; a < count; ++a) {
        std::printf("%3td", a + 1);
        for (index b = 0; b < count; ++b)
            if (b < a)
                std::printf(" %6.3f", double(vectors.row(a).dot(vectors.row(b))));
            else
                std::printf("       ");
        std::printf("  %s\n", texts[std::size_t(a)].c_str());
    }
    if (count < vectors.rows()) std::printf("… and %td more\n", vectors.rows() - count);
}

void run(const options& o) {
    const auto texts = all_texts(o);
    const configuration sizes = open_configuration(o.model);
    const auto vocabulary = open_vocabulary(o.model, o.cased);
    const auto files = examples::open_safetensors(o.model);
    const sentence_encoder model(sizes, files.tensors, o.weights);
    std::optional<Eigen::ThreadPool> pool;
    if (o.threads > 1) pool.emplace(o.threads - 1);
    const heed::on_pool threads{pool ? &*pool : nullptr};

    const auto longest = std::size_t(std::min(o.longest, sizes.longest));
    std::vector<std::vector<token>> tokens;
    std::size_t count = 0;
    for (const std::string& text : texts) {
        tokens.push_back(vocabulary.encode(text, longest));
        count += tokens.back().size();
    }
    const auto began = std::chrono::steady_clock::now();
    matrix vectors(index(texts.size()), sizes.width);
    {
        examples::progress_bar bar(o.quiet);
        for (index first = 0; first < vectors.rows(); first += o.batch) {
            const index rows = std::min(o.batch, vectors.rows() - first);
            vectors.middleRows(first, rows) = model.encode(
                std::span(tokens).subspan(std::size_t(first), std::size_t(rows)), threads);
            bar.show(double(first + rows) / double(vectors.rows()), "encoding");
        }
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - began;
    print_cosines(texts, vectors);
    std::printf("\n%zu texts, %zu tokens, %.0f tokens a second.\n", texts.size(), count,
                double(count) / std::max(seconds.count(), 1e-9));
    if (o.out) write_csv(*o.out, vectors);
}

}  // namespace

}  // namespace encoder

int main(int count, char** arguments) {
    try {
        int status = 0;
        const auto options = encoder::read_options(count, arguments, status);
        if (!options) return status;
        encoder::run(*options);
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "encoder: %s\n", error.what());
        return 1;
    }
}
