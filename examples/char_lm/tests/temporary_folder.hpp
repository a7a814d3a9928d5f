#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>

namespace char_lm {

/// A folder of this process alone, gone at the end of the scope: tests run side by side.
class temporary_folder {
  public:
    temporary_folder()
        : path_(std::filesystem::temp_directory_path() / ("char_lm_" + std::to_string(getpid()))) {
        std::filesystem::create_directories(path_);
    }
    ~temporary_folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    temporary_folder(const temporary_folder&) = delete;
    temporary_folder& operator=(const temporary_folder&) = delete;

    /// Writes a file and returns its path.
    [[nodiscard]] std::filesystem::path file(const std::string& name,
                                             const std::string& text) const {
        const auto path = path_ / name;
        std::filesystem::create_directories(path.parent_path());
        std::ofstream(path, std::ios::binary) << text;
        return path;
    }
    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  private:
    std::filesystem::path path_;
};

}  // namespace char_lm
