#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

namespace examples {

/// A file's bytes where the system maps them: read when they are looked at, so that a model larger
/// than memory can be opened. Whoever shortens the file meanwhile ends the program.
class mapped_file {
  public:
    /// Throws file_error, with the file's name, where it cannot be read.
    explicit mapped_file(const std::filesystem::path& file);
    ~mapped_file();
    mapped_file(mapped_file&& other) noexcept;
    mapped_file& operator=(mapped_file&&) = delete;

    [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }
    [[nodiscard]] std::string_view text() const {
        return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
    }

  private:
    std::span<const std::byte> bytes_;
};

}  // namespace examples
