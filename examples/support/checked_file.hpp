#pragma once

#include <filesystem>
#include <fstream>
#include <string>

namespace examples {

/// The file in `folder`, which is made; throws std::runtime_error if it cannot be written.
std::filesystem::path checked_file(const std::filesystem::path& folder, const std::string& name);

/// Closes what was written to `file`; throws std::runtime_error if not all of it is there, as on a
/// full disk.
void close_checked(std::ofstream& stream, const std::filesystem::path& file);

}  // namespace examples
