#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace robustness {

/// Rows of numbers below names.
struct table {
    std::vector<std::string> columns;
    std::vector<std::vector<double>> rows;
};

/// To standard output, in columns.
void print(const table& t);

void write_csv(const std::filesystem::path& file, const table& t);

}  // namespace robustness
