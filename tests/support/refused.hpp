#pragma once

#include <exception>
#include <string>

#include "support/catch.hpp"

/// \file
/// Calls that must be refused: by the right error, with the right words.

namespace heed_test {

/// f() throws Error, and its message is `message`.
template <class Error, class F>
void check_refused(const std::string& message, F&& f) {
    INFO(message);
    try {
        f();
        FAIL_CHECK("nothing was thrown");
    } catch (const Error& error) {
        CHECK(error.what() == message);
    } catch (const std::exception& error) {
        FAIL_CHECK("another error was thrown: " << error.what());
    }
}

}  // namespace heed_test
