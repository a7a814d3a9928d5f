#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "golden/golden.hpp"
#include "support/catch.hpp"
#include "support/file_error.hpp"
#include "support/mapped_file.hpp"

/// \file
/// Bytes of files: read from the golden models, or put together.

namespace examples_test {

inline std::filesystem::path models() { return std::filesystem::path(HEED_GOLDEN_DATA) / "models"; }

/// All of a golden file, as text or bytes.
inline std::string contents(const std::string& name) {
    return std::string(examples::mapped_file(models() / name).text());
}

inline std::span<const std::byte> bytes(std::string_view text) {
    return std::as_bytes(std::span(text.data(), text.size()));
}

/// A text that golden vectors have as the numbers of its bytes.
inline std::string text_of(const golden::array& numbers) {
    std::string text;
    for (const double byte : numbers.values) text += static_cast<char>(static_cast<int>(byte));
    return text;
}

/// The bytes of a number, lowest first.
template <class Number>
std::string raw(Number number) {
    static_assert(std::is_arithmetic_v<Number>);
    return {reinterpret_cast<const char*>(&number), sizeof number};
}

/// f() throws file_error whose message holds `part`.
template <class F>
void check_refused(const std::string& part, F&& f) {
    INFO(part);
    try {
        f();
        FAIL_CHECK("nothing was thrown");
    } catch (const examples::file_error& error) {
        INFO(error.what());
        CHECK(std::string(error.what()).find(part) != std::string::npos);
    }
}

}  // namespace examples_test
