#pragma once

#include <string>

/// \file
/// Pictures by gnuplot, a program that may be missing.

namespace examples {

/// What a program says where gnuplot() was false.
inline constexpr const char* no_pictures =
    "No pictures: gnuplot is missing or cannot draw PNG (Debian's package: gnuplot-nox).\n";

/// Gives a script to gnuplot. False when there is none, or when it fails.
bool gnuplot(const std::string& script);

/// A string of gnuplot's: what stands in single quotes is taken as it is, quotes are doubled.
std::string quoted(const std::string& text);

}  // namespace examples
