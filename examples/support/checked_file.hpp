#pragma once

#include <filesystem>
#include <string>

namespace examples {

/// The file in `folder`, which is made; throws std::runtime_error if it cannot be written.
std::filesystem::path checked_file(const std::filesystem::path& folder, const std::string& name);

}  // namespace examples
