#include "checkpoint.hpp"

#include <fstream>
#include <utility>
#include <vector>

#include "error.hpp"

namespace length_extrapolation {

using char_lm::exit_code;
using char_lm::failure;

namespace {

constexpr const char* first_line = "heed length_extrapolation checkpoint 1";

/// What must agree, by the words that stand before it in the file.
std::vector<std::pair<std::string, std::string>> identity(const checkpoint_header& header,
                                                          std::size_t parameters) {
    const auto& sizes = header.sizes;
    return {{"model", header.model},
            {"text", std::to_string(header.text)},
            {"vocabulary", std::to_string(sizes.vocabulary)},
            {"layers", std::to_string(sizes.layers)},
            {"heads", std::to_string(sizes.heads)},
            {"width", std::to_string(sizes.width)},
            {"context", std::to_string(sizes.context)},
            {"parameters", std::to_string(parameters)}};
}

}  // namespace

std::uint64_t fingerprint(std::span<const char_lm::token> text) {
    std::uint64_t hash = 0xCBF29CE484222325U;  // FNV-1a
    for (const char_lm::token t : text) hash = (hash ^ t) * 0x100000001B3U;
    return hash;
}

void save_checkpoint(const std::filesystem::path& file, const checkpoint_header& header,
                     std::span<const float> parameters) {
    std::ofstream stream(file, std::ios::binary);
    stream << first_line << '\n';
    for (const auto& [word, value] : identity(header, parameters.size()))
        stream << word << ' ' << value << '\n';
    stream << "steps " << header.steps << "\nseconds " << header.seconds << "\n\n";
    const auto bytes = std::as_bytes(parameters);
    stream.write(reinterpret_cast<const char*>(bytes.data()), std::streamsize(bytes.size()));
    char_lm::close_written(stream, file);
}

checkpoint_header load_checkpoint(const std::filesystem::path& file, checkpoint_header expected,
                                  std::span<float> parameters) {
    std::ifstream stream(file, std::ios::binary);
    if (!stream)
        throw failure(exit_code::missing_file,
                      "there is no checkpoint " + file.string() + ": train first");
    std::string line, word, value;
    std::getline(stream, line);
    if (line != first_line)
        throw failure(exit_code::missing_file, file.string() + " is not a checkpoint");
    for (const auto& [name, wanted] : identity(expected, parameters.size())) {
        stream >> word >> value;
        if (word != name || value != wanted)
            throw failure(exit_code::bad_options, "the checkpoint " + file.string() + " has " +
                                                      word + " " + value + ", but " + name + " " +
                                                      wanted + " is asked for");
    }
    stream >> word >> expected.steps >> word >> expected.seconds;
    std::getline(stream, line);  // the rest of that line
    std::getline(stream, line);  // the empty one
    const auto bytes = std::as_writable_bytes(parameters);
    stream.read(reinterpret_cast<char*>(bytes.data()), std::streamsize(bytes.size()));
    if (!stream || stream.peek() != std::ifstream::traits_type::eof())
        throw failure(exit_code::missing_file,
                      "the checkpoint " + file.string() + " is not whole: train again");
    return expected;
}

}  // namespace length_extrapolation
