#include "corpus.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>

#include "error.hpp"

namespace char_lm {

namespace fs = std::filesystem;

namespace {

/// CHAR_LM_EIGEN is the folder that CMake found; the others are the usual ones.
fs::path eigen_headers() {
    const std::array<fs::path, 5> places = {
#ifdef CHAR_LM_EIGEN
        fs::path(CHAR_LM_EIGEN),
#endif
        "/usr/include/eigen3", "/usr/local/include/eigen3", "/opt/homebrew/include/eigen3",
        "/opt/local/include/eigen3"};
    for (const fs::path& place : places)
        if (!place.empty() && fs::is_directory(place / "Eigen")) return place / "Eigen";
    throw failure(exit_code::missing_file,
                  "Eigen's headers are in none of the usual places: name some files to learn");
}

/// All files of a folder, but of Eigen's not the megabyte of LAPACK's declarations in src/misc: a
/// model that reads it writes little else.
void add_folder(const fs::path& folder, std::vector<fs::path>& files) {
    for (const auto& entry : fs::recursive_directory_iterator(folder))
        if (entry.is_regular_file() && entry.path().filename() != "lapacke.h")
            files.push_back(entry.path());
}

std::string read(const fs::path& file) {
    std::ifstream stream(file, std::ios::binary);
    std::string text(std::istreambuf_iterator<char>(stream), {});
    if (!stream)
        throw failure(exit_code::missing_file,
                      "cannot read " + file.string() + ": " + std::strerror(errno));
    return text;
}

/// The text with at most eight spaces in a row: aligned code has hundreds, and a model that has
/// just learnt to write them does not know when to stop.
std::string with_short_gaps(const std::string& text) {
    constexpr int longest = 8;
    std::string result;
    int spaces = 0;
    for (const char c : text) {
        spaces = c == ' ' ? spaces + 1 : 0;
        if (spaces <= longest) result += c;
    }
    return result;
}

}  // namespace

std::vector<fs::path> find_files(const std::vector<fs::path>& given) {
    std::vector<fs::path> files;
    for (const fs::path& path : given.empty() ? std::vector{eigen_headers()} : given) {
        if (!fs::exists(path))
            throw failure(exit_code::missing_file, "there is no file " + path.string());
        if (!fs::is_directory(path))
            files.push_back(path);
        else
            add_folder(path, files);
    }
    std::sort(files.begin(), files.end());
    return files;
}

corpus::corpus(const std::vector<fs::path>& files, index context, std::uint64_t seed) {
    // In a random order, so that the validation text is not one corner of a library.
    auto order = files;
    std::mt19937_64 engine(seed);
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[engine() % i]);

    std::string text;
    for (const fs::path& file : order) text += with_short_gaps(read(file));
    if (text.empty())
        throw failure(exit_code::empty_text,
                      files.size() == 1 ? files.front().string() + " is empty: nothing to learn"
                                        : "all files are empty: nothing to learn");

    const auto window = static_cast<std::size_t>(context) + 1;
    if (text.size() < 2 * window)
        throw failure(exit_code::short_text,
                      "the text has " + std::to_string(text.size()) + " characters, but needs " +
                          std::to_string(2 * window) + ": a window of " + std::to_string(context) +
                          " and the next one, once to learn and once to test");
    training_size_ = text.size() - std::max(text.size() / 10, window);

    std::array<bool, 256> occurs{};
    for (const char c : text) occurs[static_cast<unsigned char>(c)] = true;
    std::array<token, 256> number{};
    for (std::size_t c = 0; c < occurs.size(); ++c) {
        if (!occurs[c]) continue;
        number[c] = static_cast<token>(characters_.size());
        characters_ += static_cast<char>(c);
    }
    tokens_.reserve(text.size());
    for (const char c : text) tokens_.push_back(number[static_cast<unsigned char>(c)]);
}

std::span<const token> corpus::training() const { return std::span(tokens_).first(training_size_); }

std::span<const token> corpus::validation() const {
    return std::span(tokens_).subspan(training_size_);
}

std::string corpus::show(std::span<const token> tokens) const {
    std::string text;
    for (const token t : tokens) {
        const char c = characters_[t];
        const bool plain = c == '\n' || c == '\t' || (c >= ' ' && c <= '~');
        text += plain ? c : '?';
    }
    return text;
}

std::span<const token> corpus::whole_lines(std::span<const token> tokens, index length) const {
    const auto behind_line = [&](std::size_t from) {
        while (from < tokens.size() && characters_[tokens[from]] != '\n') ++from;
        return from + 1;
    };
    const auto least = std::min(static_cast<std::size_t>(length), tokens.size());
    const std::size_t first = behind_line(0);
    const std::size_t last = behind_line(first + least - 1);
    return last <= tokens.size() ? tokens.subspan(first, last - first) : tokens.first(least);
}

double corpus::entropy(int order) const {
    const auto n = static_cast<std::size_t>(vocabulary_size());
    std::vector<double> pairs(n * n), firsts(n);
    const auto text = training();
    for (std::size_t i = 1; i < text.size(); ++i) {
        pairs[text[i - 1] * n + text[i]] += 1;
        firsts[text[i - 1]] += 1;
    }
    const double total = static_cast<double>(text.size() - 1);
    double sum = 0;  // Σ count · log(probability)
    if (order == 0)
        for (const double count : firsts) sum += count > 0 ? count * std::log(count / total) : 0;
    else
        for (std::size_t i = 0; i < pairs.size(); ++i)
            sum += pairs[i] > 0 ? pairs[i] * std::log(pairs[i] / firsts[i / n]) : 0;
    return -sum / total;
}

}  // namespace char_lm
