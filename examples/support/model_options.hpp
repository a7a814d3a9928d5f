#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <thread>

#include <CLI/CLI.hpp>

#include "linear_layer.hpp"

/// \file
/// Options of programs that run a model. Only their options.cpp includes CLI11.

namespace examples {

/// An option that chooses what numbers are kept in. `chosen` stays where it is until the parsing.
inline void add_precision(CLI::App& app, const std::string& name, precision& chosen,
                          const std::string& meaning) {
    const std::map<std::string, precision> precisions{{"float", precision::float32},
                                                      {"bfloat16", precision::bfloat16},
                                                      {"int8", precision::int8}};
    app.add_option_function<std::string>(
           name, [&chosen, precisions](const std::string& text) { chosen = precisions.at(text); },
           meaning)
        ->default_str("float")
        ->check(CLI::IsMember({"float", "bfloat16", "int8"}))
        ->type_name("TYPE");
}

/// --threads: 0 becomes as many as the machine has, by parse.
inline void add_threads(CLI::App& app, int& threads) {
    app.add_option("--threads", threads, "Threads, 0 for all of the machine's")
        ->check(CLI::Range(0, 1024))
        ->type_name("N");
}

/// Reads the command line. False when the program should end with `status` at once: after --help,
/// or after an error, which has been printed.
inline bool parse(CLI::App& app, int count, char** arguments, int& threads, int& status) {
    try {
        app.parse(count, arguments);
    } catch (const CLI::ParseError& error) {
        status = app.exit(error);
        return false;
    }
    if (threads == 0) threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
    return true;
}

}  // namespace examples
