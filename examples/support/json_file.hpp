#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include "file_error.hpp"

/// \file
/// JSON of somebody else's: what is missing or of another kind gets an error that names it.

namespace examples {

using json = nlohmann::json;

/// Throws file_error where the text is no JSON.
inline json parse_json(std::string_view text) {
    try {
        return json::parse(text);
    } catch (const json::exception& error) {
        throw file_error(std::string("is not JSON: ") + error.what());
    }
}

/// A value as the type that it must have: throws file_error, with its name, where it has another.
template <class Value>
Value value_of(const json& value, const std::string& name) {
    const bool fits = std::is_same_v<Value, bool>          ? value.is_boolean()
                      : std::is_integral_v<Value>          ? value.is_number_integer()
                      : std::is_floating_point_v<Value>    ? value.is_number()
                      : std::is_same_v<Value, std::string> ? value.is_string()
                                                           : true;
    if (!fits) throw file_error(name + " is of another kind than it must be");
    try {
        return value.get<Value>();
    } catch (const json::exception&) {
        throw file_error(name + " is of another kind than it must be");
    }
}

/// A field of an object; nothing where it is missing or null.
template <class Value>
std::optional<Value> find_field(const json& object, const std::string& name) {
    if (!object.is_object()) throw file_error("what should hold " + name + " is no object");
    const auto found = object.find(name);
    if (found == object.end() || found->is_null()) return std::nullopt;
    return value_of<Value>(*found, name);
}

/// A field that must be there.
template <class Value>
Value field(const json& object, const std::string& name) {
    if (auto value = find_field<Value>(object, name)) return *std::move(value);
    throw file_error("has no " + name);
}

/// A field that is an object or a list, seen where it lies; an empty one where it is missing.
inline const json& part_of(const json& object, const std::string& name) {
    static const json none;
    if (!object.is_object()) throw file_error("what should hold " + name + " is no object");
    const auto found = object.find(name);
    return found == object.end() ? none : *found;
}

}  // namespace examples
