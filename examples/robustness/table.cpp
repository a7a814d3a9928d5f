#include "table.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <fstream>

#include "support/checked_file.hpp"

namespace robustness {

namespace {

/// Characters, not bytes: a byte 10xxxxxx of UTF-8 begins none.
int width(const std::string& text) {
    return static_cast<int>(
        std::count_if(text.begin(), text.end(), [](char c) { return (c & '\xC0') != '\x80'; }));
}

}  // namespace

void print(const table& t) {
    for (const std::string& name : t.columns)
        std::printf("%*s%s", std::max(12 - width(name), 1), "", name.c_str());
    std::printf("\n");
    for (const auto& row : t.rows) {
        std::printf("%12.0f", row.front());
        for (std::size_t c = 1; c < row.size(); ++c) std::printf("%12.5g", row[c]);
        std::printf("\n");
    }
    std::fflush(stdout);
}

void write_csv(const std::filesystem::path& file, const table& t) {
    std::ofstream csv(file);
    const auto write = [&](const auto& cells) {
        const char* comma = "";
        for (const auto& cell : cells) {
            csv << comma << cell;
            comma = ",";
        }
        csv << '\n';
    };
    write(t.columns);
    for (const auto& row : t.rows) write(row);
    examples::close_checked(csv, file);
}

}  // namespace robustness
