#include "checked_file.hpp"

#include <stdexcept>
#include <system_error>

namespace examples {

std::filesystem::path checked_file(const std::filesystem::path& folder, const std::string& name) {
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    const auto file = folder / name;
    // At its end: what an earlier run has left stays until there is something to put in its place.
    if (error || !std::ofstream(file, std::ios::app))
        throw std::runtime_error("cannot write to the folder " + folder.string());
    return file;
}

void close_checked(std::ofstream& stream, const std::filesystem::path& file) {
    stream.close();
    if (!stream) throw std::runtime_error("cannot write all of " + file.string());
}

}  // namespace examples
