#pragma once

#include <cmath>
#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <heed/core/architecture.hpp>
#include <heed/core/error.hpp>
#include <heed/core/shape.hpp>

/// \file
/// The rope_parameters (once rope_scaling) dictionary of a model's configuration, in C++ types, and
/// how its fields are read.

namespace heed::inline HEED_ARCHITECTURE {
namespace rope {

/// A field's value: a number, a truth value, a text, a list of numbers, or null, which is as if the
/// field were missing. Made of any of them, and of a std::variant of them.
class parameter {
  public:
    using list = std::vector<double>;

    parameter(std::nullptr_t) {}  // NOLINT(google-explicit-constructor): as a value in braces
    parameter(std::monostate) {}  // NOLINT
    template <class X>
    requires std::is_arithmetic_v<X> parameter(X value) {  // NOLINT
        if constexpr (std::is_same_v<X, bool>)
            value_ = value;
        else
            value_ = static_cast<double>(value);
    }
    parameter(std::string text) : value_(std::move(text)) {}    // NOLINT
    parameter(const char* text) : value_(std::string(text)) {}  // NOLINT
    parameter(list numbers) : value_(std::move(numbers)) {}     // NOLINT
    template <class... Types>
    parameter(const std::variant<Types...>& any)  // NOLINT
        : parameter(std::visit([](const auto& x) { return parameter(x); }, any)) {}

    bool is_null() const { return std::holds_alternative<std::monostate>(value_); }
    template <class X>
    const X* get() const {
        return std::get_if<X>(&value_);
    }

  private:
    std::variant<std::monostate, bool, double, std::string, list> value_;
};

/// The dictionary, by the usual names of its fields.
using parameters = std::map<std::string, parameter>;

}  // namespace rope

namespace detail {

/// Reads fields, remembers which, and refuses what was not read.
class parameter_reader {
  public:
    explicit parameter_reader(const rope::parameters& fields) : fields_(fields) {}

    std::optional<double> number(const char* name) {
        const auto* value = get<double>(name, "a number");
        return value != nullptr ? std::optional(*value) : std::nullopt;
    }
    std::optional<double> number(const char* name, double least) {
        const auto value = number(name);
        require_argument(!value || (*value >= least && std::isfinite(*value)), prefix, name, " is ",
                         value.value_or(0), ", but it must be finite and at least ", least);
        return value;
    }
    std::optional<bool> truth(const char* name) {
        const auto* value = get<bool>(name, "true or false");
        return value != nullptr ? std::optional(*value) : std::nullopt;
    }
    std::optional<std::string> text(const char* name) {
        const auto* value = get<std::string>(name, "a text");
        return value != nullptr ? std::optional(*value) : std::nullopt;
    }
    std::optional<std::vector<double>> list(const char* name) {
        const auto* value = get<std::vector<double>>(name, "a list of numbers");
        return value != nullptr ? std::optional(*value) : std::nullopt;
    }

    /// What was read, or an error that names the field.
    template <class X>
    static X required(std::optional<X> value, const char* name, std::string_view type) {
        require_argument(value.has_value(), prefix, name, " is missing, but rope_type \"", type,
                         "\" needs it");
        return *std::move(value);
    }

    void refuse_the_rest(std::string_view type) const {
        for (const auto& [name, value] : fields_)
            require_argument(value.is_null() || read_.contains(name), prefix, name,
                             " is given, but rope_type \"", type, "\" has no such field");
    }

    static constexpr const char* prefix = "rope_parameters: ";

  private:
    template <class X>
    const X* get(const char* name, const char* kind) {
        read_.insert(name);
        const auto found = fields_.find(name);
        if (found == fields_.end() || found->second.is_null()) return nullptr;
        const X* value = found->second.get<X>();
        require_argument(value != nullptr, prefix, name, " must be ", kind,
                         ", but it is something else");
        return value;
    }

    const rope::parameters& fields_;
    std::set<std::string> read_;
};

}  // namespace detail
}  // namespace heed::inline HEED_ARCHITECTURE
