#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "file_error.hpp"

/// \file
/// JSON of somebody else's: what is missing or of another kind gets an error that names it.

namespace examples {

using json = nlohmann::json;

/// Goes through a text and throws file_error where an object has a key twice. Not json::parse with
/// a callback, whose time grows with the square of an object's size.
class single_keys : public nlohmann::json_sax<json> {
  public:
    bool start_object(std::size_t) override { return open_.emplace_back(), true; }
    bool end_object() override { return open_.pop_back(), true; }
    bool key(std::string& name) override {
        if (open_.back().insert(name).second) return true;
        throw file_error("has \"" + name + "\" twice");
    }
    bool parse_error(std::size_t, const std::string&, const json::exception&) override {
        return false;
    }
    bool null() override { return true; }
    bool boolean(bool) override { return true; }
    bool number_integer(std::int64_t) override { return true; }
    bool number_unsigned(std::uint64_t) override { return true; }
    bool number_float(double, const std::string&) override { return true; }
    bool string(std::string&) override { return true; }
    bool binary(json::binary_t&) override { return true; }
    bool start_array(std::size_t) override { return true; }
    bool end_array() override { return true; }

  private:
    std::vector<std::set<std::string>> open_;  // the keys of each object that has not ended
};

/// Throws file_error where the text is no JSON, and where an object has a key twice: which of the
/// two holds would be the reader's choice.
inline json parse_json(std::string_view text) {
    try {
        single_keys keys;
        json::sax_parse(text, &keys);  // what is no JSON ends it early: parse says why
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
