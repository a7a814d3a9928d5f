#pragma once

#include <filesystem>
#include <stdexcept>
#include <string>

namespace examples {

/// A file that is not what it should be: what() says what is wrong with it.
class file_error : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// What `read` gives; its error is preceded by the file's name.
template <class Read>
auto in_file(const std::filesystem::path& file, Read&& read) {
    try {
        return read();
    } catch (const file_error& error) {
        throw file_error(file.string() + ": " + error.what());
    }
}

}  // namespace examples
