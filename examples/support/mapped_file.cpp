#include "mapped_file.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "file_error.hpp"

namespace examples {

namespace {

[[noreturn]] void refuse(const std::filesystem::path& file, int error) {
    throw file_error("cannot read " + file.string() + ": " + std::strerror(error));
}

/// Closes the file when the mapping has been made, which stays.
struct descriptor {
    int number;
    ~descriptor() {
        if (number >= 0) close(number);
    }
};

}  // namespace

mapped_file::mapped_file(const std::filesystem::path& file) {
    const descriptor opened{open(file.c_str(), O_RDONLY | O_CLOEXEC)};
    struct stat status {};
    if (opened.number < 0 || fstat(opened.number, &status) != 0) refuse(file, errno);
    if (!S_ISREG(status.st_mode)) throw file_error(file.string() + " is not a file");
    const auto size = static_cast<std::size_t>(status.st_size);
    if (size == 0) return;  // nothing cannot be mapped
    void* const place = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, opened.number, 0);
    if (place == MAP_FAILED) refuse(file, errno);
    bytes_ = {static_cast<const std::byte*>(place), size};
}

mapped_file::~mapped_file() {
    if (!bytes_.empty()) munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

mapped_file::mapped_file(mapped_file&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

}  // namespace examples
